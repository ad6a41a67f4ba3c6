import pathlib

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from homefeed.components.drift.compare import run_drift
from homefeed.components.drift.sources.load import load
from homefeed.schemas.dataset import DatasetError
from tests.components.drift.sources.tables import ITEMS, interactions
from tests.components.ingested import write_dataset


def write_log(path: pathlib.Path, rows: list[list[tuple[str, str]]], age: float = 30.0) -> pathlib.Path:
    """Requests in batches of two, histories padded."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for start in range(0, len(rows), 2):
            pair = rows[start : start + 2]
            width = max(map(len, pair)) + 1
            padded = [[*history, *[("", "")] * (width - len(history))] for history in pair]
            log = prediction_log_pb2.PredictionLog()
            inputs = log.predict_log.request.inputs
            inputs["history"].CopyFrom(tf.make_tensor_proto([[item for item, _ in row] for row in padded]))
            inputs["history_event_type"].CopyFrom(tf.make_tensor_proto([[kind for _, kind in row] for row in padded]))
            inputs["k"].CopyFrom(tf.make_tensor_proto([10] * len(pair)))
            writer.write(log.SerializeToString())
    return path


def histories(text: str) -> list[list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for line in text.splitlines()[1:]:
        user, item, _, kind = line.split(",")
        found.setdefault(user, []).append((item, kind))
    return list(found.values())


def test_a_log_of_requests_against_the_data(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path / "data", interactions(0), ITEMS)
    same = run_drift(data, write_log(tmp_path / "same", histories(interactions(1))))
    assert not same.drifted
    assert {found.feature for found in same.findings} == {
        "interactions.item_id",
        "interactions.event_type",
        "interactions.user_id",  # Whose lengths are compared.
    }
    assert "items.title" in same.not_compared
    skewed = write_log(tmp_path / "skewed", histories(interactions(1, bought=0.4)))
    assert [found.feature for found in run_drift(data, skewed).drifted] == ["interactions.event_type"]
    short = write_log(tmp_path / "short", [history[-3:] for history in histories(interactions(1))])
    assert "events_per_user" in {found.measure for found in run_drift(data, short).drifted}


def test_skew_comparators_judge_a_log(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path / "data", interactions(0), ITEMS)
    log = write_log(tmp_path / "log", histories(interactions(1, bought=0.4)))
    schema = tmp_path / "interactions.pbtxt"
    lax = 'feature {{ name: "{}" type: BYTES skew_comparator {{ infinity_norm {{ threshold: 0.5 }} }} }}'
    schema.write_text(lax.format("event_type"))
    assert not run_drift(data, log, schema).drifted
    schema.write_text(lax.format("query"))
    with pytest.raises(DatasetError, match=r"interactions.query:l_infinity cannot be evaluated"):
        run_drift(data, log, schema)


def test_what_is_no_log(tmp_path: pathlib.Path) -> None:
    (tmp_path / "text").write_text("hello, this is no record file at all")
    with pytest.raises(DatasetError, match="is no TFRecord file of PredictionLogs"):
        load(tmp_path / "text")
    with tf.io.TFRecordWriter(str(tmp_path / "examples")) as writer:
        example = tf.train.Example()
        example.features.feature["a"].int64_list.value.append(1)
        writer.write(example.SerializeToString())
    with pytest.raises(DatasetError, match="PredictionLog"):
        load(tmp_path / "examples")
    with pytest.raises(DatasetError, match="has the input history"):
        load(write_log(tmp_path / "empty", []))
