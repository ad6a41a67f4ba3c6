"""The pipeline without its trainings: models that count instead, all else as it is.

A whole run costs seconds, so that what the runner, the loop and Kubeflow do with the recommender is seen in each run
of the tests; the slow tests see it with trained models.
"""

from typing import Any

import pytest

from homefeed.components import behavior_pretrainer, ranking_trainer, retrieval_trainer
from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import TEXTS_FILE
from tests.toy_models import ToyRanking, ToyRetrieval, save


def count_instead_of_training(patch: pytest.MonkeyPatch) -> None:
    """Retrieval goes by popularity, ranking turns its order round, and nothing reads texts."""
    patch.setattr(retrieval_trainer, "run", _retrieval)
    patch.setattr(ranking_trainer, "run", _ranking)
    patch.setattr(behavior_pretrainer, "run", _bert)


def _retrieval(inputs: Any, outputs: Any, config: Any) -> str:
    toy = ToyRetrieval(transformed.load_catalogue(inputs.transform_graph))
    save(toy, outputs.model.path, "retrieve")
    outputs.model_run.write_json("curves.json", {})
    return "counted"


def _ranking(inputs: Any, outputs: Any, config: Any) -> str:
    save(ToyRanking(), outputs.model.path, "rank")
    outputs.model_run.write_json("curves.json", {})
    return "turned round"


def _bert(inputs: Any, outputs: Any, config: Any) -> str:
    outputs.bert.write_json(TEXTS_FILE, {"arms": {}, "tensors": 0, "tensors_changed": 0})
    outputs.model_run.write_json("curves.json", {})
    return "nothing read"
