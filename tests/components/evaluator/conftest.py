import pathlib

import pytest

from homefeed.serving.predictors import LocalPredictor
from homefeed.serving.recommender import Recommender


@pytest.fixture(scope="module")
def recommender(toy_models: dict[str, pathlib.Path]) -> Recommender:
    return Recommender(LocalPredictor({name: path / "Format-Serving" for name, path in toy_models.items()}), 100)
