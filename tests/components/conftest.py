import pathlib

import pytest

from homefeed.components import retrieval_trainer
from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import Examples, Model, ModelRun, PretrainedBert, TransformGraph
from homefeed.models.behaviour_text import SPECIAL_TOKENS
from tests.components import ranking_toys
from tests.components.ingested import write_dataset
from tests.components.validated import ITEMS, WITH_FEATURES, log
from tests.models.retrieval import toy


@pytest.fixture
def data(tmp_path: pathlib.Path) -> pathlib.Path:
    """A small dataset with a declared price and size."""
    return write_dataset(tmp_path / "data", log(), ITEMS, description=WITH_FEATURES)


@pytest.fixture(scope="session")
def trained_retrieval(tmp_path_factory: pytest.TempPathFactory) -> tuple[retrieval_trainer.Outputs, str]:
    """What RetrievalTrainer makes of the toy world, and the line that it says."""
    folder = tmp_path_factory.mktemp("retrieval_trainer")
    graph, examples = TransformGraph(folder / "graph"), Examples(folder / "examples")
    train = toy.sequences(num_users=8)
    transformed.save_catalogue(graph, toy.catalogue())
    transformed.save_wordpiece(graph, [*SPECIAL_TOKENS, "red", "tea", "cup", "blue", "片"])
    transformed.save_request(graph, train)
    transformed.save_sequences(examples, "train", train)
    transformed.save_sequences(examples, "eval", toy.sequences(num_users=5, num_targets=1, num_history=2, seed=1))
    config = retrieval_trainer.Config(width=8, num_layers=1, max_events=4, epochs=2, batch_size=4)
    made = retrieval_trainer.Outputs(Model(folder / "model"), ModelRun(folder / "run"))
    bert = PretrainedBert(folder / "bert")
    ranking_toys.text_model(toy.catalogue()).save(bert.path)
    return made, retrieval_trainer.run(retrieval_trainer.Inputs(graph, examples, bert), made, config)
