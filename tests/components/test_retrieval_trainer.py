import json

import numpy as np
import pytest
import tensorflow as tf

from homefeed.components import retrieval_trainer
from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import Examples, Model, ModelRun, TransformGraph
from homefeed.models.behaviour_text import SPECIAL_TOKENS
from tests.models.retrieval import toy

CONFIG = retrieval_trainer.Config(width=8, num_layers=1, max_events=4, num_epochs=2, batch_size=4)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("retrieval_trainer")
    graph, examples = TransformGraph(folder / "graph"), Examples(folder / "examples")
    train = toy.sequences(num_users=8)
    transformed.save_catalogue(graph, toy.catalogue())
    transformed.save_wordpiece(graph, [*SPECIAL_TOKENS, "red", "tea", "cup", "blue", "片"])
    transformed.save_request(graph, train)
    transformed.save_sequences(examples, "train", train)
    transformed.save_sequences(examples, "eval", toy.sequences(num_users=5, num_targets=1, num_history=2, seed=1))
    made = retrieval_trainer.Outputs(Model(folder / "model"), ModelRun(folder / "run"))
    return made, retrieval_trainer.run(retrieval_trainer.Inputs(graph, examples), made, CONFIG)


def test_the_line_says_how_good_it_is(outputs):
    assert "2 epochs, NDCG@10 0." in outputs[1]


def test_writes_a_servable_model(outputs):
    loaded = tf.saved_model.load(str(outputs[0].model.serving_dir))
    methods = {"retrieve", "embed_query", "embed_candidate", "similar_items"}
    assert set(loaded.signatures) == {"serving_default"} | methods
    inputs = set(loaded.signatures["retrieve"].structured_input_signature[1])
    history = {"history", "history_value", "history_event_type", "history_timestamp"}
    asked = {"k", "timestamp", "query_token_ids", "filter_categories"}
    assert inputs == history | {"user_gender", "user_age"} | asked


def test_records_the_curve_for_tensorboard_and_people(outputs):
    curve = json.loads((outputs[0].model_run.path / "curve.json").read_text())
    assert [row["epoch"] for row in curve] == [0, 1]
    assert [row["ndcg"] is None for row in curve] == [True, False]  # Every second epoch is evaluated.
    assert all(np.isfinite(row["loss"]) for row in curve)
    assert list(outputs[0].model_run.path.glob("events.out.tfevents.*"))
