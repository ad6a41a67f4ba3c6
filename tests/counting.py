"""The pipeline without its trainings: models that count instead, all else as it is.

A whole run costs seconds, so that what the runner, the loop and Kubeflow do with the recommender is seen in each run
of the tests; the slow tests see it with trained models.
"""

from typing import Any

import numpy as np
import pytest

from homefeed.components import behavior_pretrainer, ranking_trainer, retrieval_trainer
from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import TEXTS_FILE
from homefeed.models.text import bert as berts
from homefeed.models.text.heads import TextHeads
from homefeed.models.text.reading import Scale
from homefeed.models.text.text_model import TextModel, ends_of
from tests.toy_models import ToyRanking, ToyRetrieval, save


def count_instead_of_training(patch: pytest.MonkeyPatch) -> None:
    """Retrieval goes by popularity, ranking turns its order round, and nothing reads texts."""
    patch.setattr(retrieval_trainer, "run", _retrieval)
    patch.setattr(ranking_trainer, "run", _ranking)
    patch.setattr(behavior_pretrainer, "run", _bert)


def _retrieval(inputs: Any, outputs: Any, config: Any) -> str:
    toy = ToyRetrieval(transformed.load_catalogue(inputs.transform_graph))
    save(toy, outputs.model.path, "retrieve", "score")
    outputs.model_run.write_json("curves.json", {})
    return "counted"


def _ranking(inputs: Any, outputs: Any, config: Any) -> str:
    save(ToyRanking(), outputs.model.path, "rank")
    outputs.model_run.write_json("curves.json", {})
    return "turned round"


def _bert(inputs: Any, outputs: Any, config: Any) -> str:
    _silent(transformed.load_training_data(inputs.transform_graph, inputs.examples)).save(outputs.bert.path)
    outputs.bert.write_json(TEXTS_FILE, {"arms": {}, "tensors": 0, "tensors_changed": 0})
    outputs.model_run.write_json("curves.json", {})
    return "nothing read"


def _silent(data: Any) -> TextModel:
    """A text model to which no text says anything."""
    bert = berts.new_bert(len(data.wordpiece), layers=1, width=8, length=16, dropout=0.0)
    items = np.zeros((data.catalogue.num_rows, 8), np.float32)
    ends = ends_of([bert], data.wordpiece, [None])
    return TextModel((bert,), ends, Scale.of(items), TextHeads(8, 2), items, data.catalogue.token_ids)
