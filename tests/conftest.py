import pathlib

import hypothesis
import pytest

with pytest.MonkeyPatch.context() as quiet:  # What TensorFlow says when it is imported would follow the summary.
    quiet.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow  # noqa: F401

    import homefeed.models  # noqa: F401  Chooses the Keras versions before any test imports TensorFlow.
from tests.toy_data import toy_catalogue

# A busy machine is no fault of an example.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--refresh-golden", action="store_true", help="Accept what differs from the golden files.")


@pytest.fixture(scope="session")
def toy_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """Model name → folder with `Format-Serving/`, over the toy catalogue."""
    from tests.toy_models import save_toy_models

    return save_toy_models(tmp_path_factory.mktemp("toy_models"), toy_catalogue())


@pytest.fixture(scope="session")
def sample_data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A simulated store of 40 users."""
    from homefeed.pipeline.datasets.sample import write_sample

    folder = tmp_path_factory.mktemp("sample_data")
    write_sample(folder, num_users=40, num_items=60, num_events=600, seed=3)
    return folder


@pytest.fixture(scope="session")
def sample_root(sample_data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The root of a finished run over the simulated store, of models as small as they can be."""
    from tests.runs import run_small

    root = tmp_path_factory.mktemp("sample_root")
    run_small(sample_data, root)
    return root


@pytest.fixture(scope="session")
def counted_root(sample_data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The root of a finished run over the simulated store, of models that count instead of learning."""
    from tests.counting import count_instead_of_training
    from tests.runs import run_small

    root = tmp_path_factory.mktemp("counted_root")
    with pytest.MonkeyPatch.context() as patch:
        count_instead_of_training(patch)
        run_small(sample_data, root)
    return root


@pytest.fixture(scope="session")
def movielens() -> pathlib.Path:
    """The folder of MovieLens-100K beside the checkout; tests on it are skipped where it is not."""
    folder = pathlib.Path(__file__).parents[2] / "shared" / "data" / "ml-100k"
    if not folder.is_dir():
        pytest.skip(f"no MovieLens-100K at {folder}")
    return folder
