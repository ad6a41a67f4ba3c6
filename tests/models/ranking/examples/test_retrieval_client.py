import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.ranking.examples import retrieval_client
from homefeed.models.ranking.examples.prediction_points import PredictionPoints, every_target
from homefeed.models.ranking.examples.retrieval_client import RetrievalClient
from tests.toy_data import toy_catalogue, toy_sequences

CATALOGUE = toy_catalogue()


class Echo(tf.Module):
    """Answers with the history, newest first, and with what it was told of each event."""

    def retrieve(self, **asked: tf.Tensor) -> dict[str, tf.Tensor]:
        most = tf.reduce_max(asked["k"])
        known = tf.where(tf.math.is_nan(asked["history_value"]), 0.0, asked["history_value"])
        elapsed = tf.cast(asked["timestamp"][:, None] - asked["history_timestamp"], tf.float32)
        of_events = known + 10 * tf.cast(asked["history_event_type"] == "buy", tf.float32) + elapsed * 1e-3
        words = tf.cast(tf.reduce_sum(asked["query_token_ids"], axis=1), tf.float32)
        is_woman = tf.cast(asked["user_gender"] == "F", tf.float32)
        of_users = 100 * is_woman + 1000 * words + 1e4 * asked["user_age"]
        scores = of_events + of_users[:, None]
        scores = tf.where(tf.reduce_any(asked["filter_categories"] != "", axis=1, keepdims=True), -1.0, scores)
        return {"item_ids": asked["history"][:, ::-1][:, :most], "scores": scores[:, ::-1][:, :most]}


SPECS = {
    "history": tf.TensorSpec([None, None], tf.string, "history"),
    "history_value": tf.TensorSpec([None, None], tf.float32, "history_value"),
    "history_timestamp": tf.TensorSpec([None, None], tf.int64, "history_timestamp"),
    "history_event_type": tf.TensorSpec([None, None], tf.string, "history_event_type"),
    "timestamp": tf.TensorSpec([None], tf.int64, "timestamp"),
    "user_gender": tf.TensorSpec([None], tf.string, "user_gender"),
    "user_age": tf.TensorSpec([None], tf.float32, "user_age"),
    "query_token_ids": tf.TensorSpec([None, None], tf.int32, "query_token_ids"),
    "filter_categories": tf.TensorSpec([None, None], tf.string, "filter_categories"),
    "k": tf.TensorSpec([None], tf.int32, "k"),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> RetrievalClient:
    folder: pathlib.Path = tmp_path_factory.mktemp("echo")
    module = Echo()
    retrieve = tf.function(module.retrieve).get_concrete_function(**SPECS)
    tf.saved_model.save(module, str(folder), signatures={"retrieve": retrieve})
    return RetrievalClient(folder, CATALOGUE)


def _expected(sequences: Any, row: int, at: int, cut: int) -> float:
    value = sequences.value[at]
    score = 0 if np.isnan(value) else value
    score += 10 * (sequences.event_categorical["event_type"][at] == 3)
    score += 100 * (sequences.categorical["gender"][row, 0] == 2)
    if sequences.query_token_ids is not None:
        score += 1000 * sequences.query_token_ids[cut].sum()
    score += (sequences.timestamp[cut] - sequences.timestamp[at]) * 1e-3
    return float(score + sequences.numeric["age"][row, 0] * 1e4)


@pytest.mark.parametrize("batch", [256, 2])
@pytest.mark.parametrize("with_queries", [False, True])
def test_it_asks_what_a_user_would_have_asked(
    client: RetrievalClient, batch: int, with_queries: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """History oldest first, with its columns, however the points are batched."""
    monkeypatch.setattr(retrieval_client, "_BATCH", batch)
    sequences = toy_sequences()
    if with_queries:
        tokens = np.arange(2 * len(sequences.item_index), dtype=np.int32).reshape(-1, 2) % 5
        sequences = dataclasses.replace(sequences, query_token_ids=tokens)
    points = every_target(sequences)
    rows, scores = client(sequences, points, 3)
    assert rows.shape == scores.shape == (len(points), 3)
    for place, (row, cut) in enumerate(zip(points.row, points.cut, strict=True)):
        past = np.arange(sequences.row_splits[row], cut)[::-1][:3]
        assert rows[place, : len(past)].tolist() == sequences.item_index[past].tolist()
        assert not rows[place, len(past) :].any()
        expected = [_expected(sequences, row, at, cut) for at in past]
        np.testing.assert_allclose(scores[place, : len(past)], expected, rtol=1e-5)


def test_no_points_no_questions(client: RetrievalClient) -> None:
    nothing = PredictionPoints(np.empty(0, np.int64), np.empty(0, np.int64))
    rows, scores = client(toy_sequences(), nothing, 4)
    assert rows.shape == scores.shape == (0, 4)
