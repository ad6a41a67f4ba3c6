"""Drift of Examples and of logs of requests."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from homefeed.components.drift import compare as drift
from homefeed.components.drift.compare import run_drift
from homefeed.components.drift.sources import load
from homefeed.pipeline.datasets.sample import write_sample
from homefeed.schemas.dataset import DatasetError
from tests.components.ingested import events, ingest, write_dataset


def interactions(seed: int, size: int = 3000, bought: float = 0.3) -> str:
    rng = np.random.default_rng(seed)
    users, items = rng.integers(300, size=size), (30 * rng.random(size) ** 2).astype(int)
    kinds = np.where(rng.random(size) < bought, "buy", "view")
    rows = zip((f"u{n}" for n in users), (f"i{n}" for n in items), range(size), kinds, strict=True)
    return events(rows, "user_id,item_id,timestamp,event_type")


ITEMS = "item_id,title\n" + "".join(f"i{n},Thing {n}\n" for n in range(30))


def test_examples_say_what_their_tables_say(tmp_path: pathlib.Path) -> None:
    data = tmp_path / "data"
    write_sample(data, num_users=60, num_items=80, num_events=900)
    ingest(data, tmp_path / "out")
    report = drift.compare(load(data), load(tmp_path / "out"))
    assert not report.drifted and not report.not_compared
    assert all(found.value < 0.02 for found in report.findings)  # Duplicates count once in Examples.


def test_one_split_against_another(tmp_path: pathlib.Path) -> None:
    outputs = ingest(write_dataset(tmp_path / "data", interactions(0), ITEMS), tmp_path / "out", split="hash")
    report = run_drift(outputs.interactions.split_dir("train"), outputs.interactions.split_dir("eval"))
    assert {found.feature for found in report.drifted} <= {"interactions.user_id"}  # Users are in one split only.
    whole = run_drift(tmp_path / "data", tmp_path / "out" / "interactions")  # One table of three.
    assert set(whole.not_compared) == {"items.title"}


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
