import pathlib

import pytest

from homefeed.components import retrieval_trainer
from homefeed.components.artifacts.types import Model, ModelRun
from tests.components.ingested import write_dataset
from tests.components.validated import ITEMS, WITH_FEATURES, log
from tests.toy_artifacts import retrieval_inputs


@pytest.fixture
def data(tmp_path: pathlib.Path) -> pathlib.Path:
    """A small dataset with a declared price and size."""
    return write_dataset(tmp_path / "data", log(), ITEMS, description=WITH_FEATURES)


@pytest.fixture(scope="session")
def trained_retrieval(tmp_path_factory: pytest.TempPathFactory) -> tuple[retrieval_trainer.Outputs, str]:
    """What RetrievalTrainer makes of the toy world, and the line that it says."""
    folder = tmp_path_factory.mktemp("retrieval_trainer")
    config = retrieval_trainer.Config(width=8, num_layers=1, max_events=4, epochs=2, batch_size=4)
    made = retrieval_trainer.Outputs(Model(folder / "model"), ModelRun(folder / "run"))
    return made, retrieval_trainer.run(retrieval_inputs(folder), made, config)
