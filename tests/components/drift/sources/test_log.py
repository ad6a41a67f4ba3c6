import pathlib
from typing import Any

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


def log_of(path: pathlib.Path, *requests: dict[str, Any]) -> pathlib.Path:
    """Requests whose inputs are given, one batch each."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog()
            for name, values in request.items():
                log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
            writer.write(log.SerializeToString())
    return path


def test_histories_are_events_and_features_are_users(tmp_path: pathlib.Path) -> None:
    first = {
        "history": [["A", "B", ""], ["", "", ""], ["A", "", ""]],
        "history_value": [[1.0, float("nan"), 0.0], [0.0] * 3, [3.0, 0.0, 0.0]],
        "user_gender": ["F", "", "M"],
        "user_age": [31.0, float("nan"), 20.0],
        "k": 10,
    }
    second = {"history": [["C"]], "user_colours": [["red", "blue", ""]], "user_taste": [[0.5, 1.5]]}
    found = load(log_of(tmp_path / "log", first, second))
    assert found.is_log and found.num_rows == {"interactions": 4, "users": 4}
    columns = {name: dict(column.values) for name, column in found.columns.items() if column.kind != "number"}
    assert columns == {
        "interactions.item_id": {"A": 2, "B": 1, "C": 1},
        "users.gender": {"F": 1, "M": 1},
        "users.colours": {"red": 1, "blue": 1},
    }
    assert found.columns["interactions.value"].missing.sum() == 1
    assert found.columns["users.age"].missing.sum() == 1 and found.columns["users.age"].num_values == 2
    assert found.events_per_user == {2: 1, 1: 2}  # By the lengths of histories; an empty one is nobody's.


def test_an_input_that_is_the_same_for_all_may_come_once(tmp_path: pathlib.Path) -> None:
    found = load(log_of(tmp_path / "log", {"history": [["A"], ["B"], ["C"]], "user_country": ["DE"]}))
    assert dict(found.columns["users.country"].values) == {"DE": 3}


def test_a_folder_of_packed_logs(tmp_path: pathlib.Path) -> None:
    import gzip

    plain = log_of(tmp_path / "a", {"history": [["A"]]})
    (tmp_path / "b.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert dict(load(tmp_path).columns["interactions.item_id"].values) == {"A": 2}
