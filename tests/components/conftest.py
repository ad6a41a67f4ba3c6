import pathlib

import pytest

from tests.components.ingested import write_dataset
from tests.components.validated import ITEMS, WITH_FEATURES, log


@pytest.fixture
def data(tmp_path: pathlib.Path) -> pathlib.Path:
    """A small dataset with a declared price and size."""
    return write_dataset(tmp_path / "data", log(), ITEMS, description=WITH_FEATURES)
