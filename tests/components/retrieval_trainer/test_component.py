import json

import numpy as np
import tensorflow as tf

from homefeed.components import retrieval_trainer

Trained = tuple[retrieval_trainer.Outputs, str]


def test_the_line_says_how_good_it_is(trained_retrieval: Trained) -> None:
    assert "2 epochs, NDCG@10 0." in trained_retrieval[1]


def test_writes_a_servable_model(trained_retrieval: Trained) -> None:
    loaded = tf.saved_model.load(str(trained_retrieval[0].model.serving_dir))
    methods = {"retrieve", "embed_query", "embed_candidate", "similar_items", "score"}
    assert set(loaded.signatures) == {"serving_default"} | methods
    inputs = set(loaded.signatures["retrieve"].structured_input_signature[1])
    history = {"history", "history_value", "history_event_type", "history_timestamp"}
    asked = {"k", "timestamp", "query_token_ids", "filter_categories"}
    assert inputs == history | {"user_gender", "user_age"} | asked


def test_records_the_curve_for_tensorboard_and_people(trained_retrieval: Trained) -> None:
    curve = json.loads((trained_retrieval[0].model_run.path / "curve.json").read_text())
    assert [row["epoch"] for row in curve] == [0, 1]
    assert [row["ndcg"] is None for row in curve] == [True, False]  # Every second epoch is evaluated.
    assert all(np.isfinite(row["loss"]) for row in curve)
    assert list(trained_retrieval[0].model_run.path.glob("events.out.tfevents.*"))
