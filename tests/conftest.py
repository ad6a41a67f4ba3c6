import pathlib

import pytest

import models  # noqa: F401  Chooses the Keras versions before any test imports TensorFlow.
from tests.toy_data import toy_catalogue


@pytest.fixture(scope="session")
def toy_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """Model name → folder with `Format-Serving/`, over the toy catalogue."""
    from tests.toy_models import save_toy_models

    return save_toy_models(tmp_path_factory.mktemp("toy_models"), toy_catalogue())


@pytest.fixture(scope="session")
def movielens() -> pathlib.Path:
    """The folder of MovieLens-100K beside the checkout; tests on it are skipped where it is not."""
    folder = pathlib.Path(__file__).parents[2] / "shared" / "data" / "ml-100k"
    if not folder.is_dir():
        pytest.skip(f"no MovieLens-100K at {folder}")
    return folder
