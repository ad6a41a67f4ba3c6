import json
import pathlib
from typing import Any

import numpy as np
import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2

from homefeed.components import example_validator
from homefeed.components.artifacts.types import ExampleAnomalies
from homefeed.components.example_validator.component import DATASET_PAGE, DRIFT_FILE, DRIFT_PAGE
from homefeed.schemas.dataset import DatasetError
from tests.components.ingested import events, write_dataset
from tests.components.validated import ITEMS, WITH_FEATURES, describe, infer, log, validate


def test_good_data_passes(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    _, statistics = describe(data, tmp_path / "out")
    schemas = infer(data, tmp_path / "out", statistics)
    anomalies = validate(data, tmp_path / "out", statistics, schemas)
    assert anomalies.reasons() == []
    found = anomalies_pb2.Anomalies()
    found.ParseFromString(anomalies.split_file("interactions-eval").read_bytes())
    assert not found.anomaly_info


def test_anomalies_name_table_split_and_feature(tmp_path: pathlib.Path) -> None:
    # The last tenth of the log, the test split, has a kind of event that the first tenths have not.
    data = write_dataset(tmp_path / "data", log(kinds=("view",) * 9 + ("share",)), ITEMS, description=WITH_FEATURES)
    _, statistics = describe(data, tmp_path / "out")
    schemas = infer(data, tmp_path / "out", statistics)
    (reason,) = validate(data, tmp_path / "out", statistics, schemas).reasons()
    assert reason.startswith("interactions/test: feature 'event_type': ")
    assert "share" in reason
    allowed = example_validator.Config(allowed=("interactions.event_type",))
    assert not validate(data, tmp_path / "out", statistics, schemas, allowed, "allowed").reasons()


def test_drift_between_spans_closes_the_gate(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    shifted = write_dataset(tmp_path / "shifted", log().replace("buy", "view"), ITEMS, description=WITH_FEATURES)
    _, statistics = describe(shifted, tmp_path / "out")
    schemas = infer(shifted, tmp_path / "out", statistics)
    config = example_validator.Config(baseline=str(data))
    anomalies = validate(shifted, tmp_path / "out", statistics, schemas, config)
    assert [reason.partition(": ")[0] for reason in anomalies.reasons()] == ["interactions.event_type"]
    report = json.loads((anomalies.path / DRIFT_FILE).read_text())
    assert report["drifted"] == ["interactions.event_type:l_infinity"]
    assert (anomalies.path / DRIFT_PAGE).is_file()
    config = example_validator.Config(baseline=str(shifted))
    same = validate(shifted, tmp_path / "out", statistics, schemas, config, "same")
    assert same.reasons() == []


def test_the_newest_span_is_compared_with_those_before_it(tmp_path: pathlib.Path) -> None:
    description = WITH_FEATURES.replace("interactions.csv", '"days/{SPAN}/log.csv"')
    data = write_dataset(tmp_path / "data", "", ITEMS, description=description)
    rng = np.random.default_rng(0)

    def drop(day: int, share: float) -> None:
        kinds = np.where(rng.random(2000) < share, "buy", "view")
        rows = [(f"u{n % 50}", n % 40, 1_700_000_000 + 86_400 * day + n, kind) for n, kind in enumerate(kinds)]
        (data / "days" / str(day)).mkdir(parents=True)
        (data / "days" / str(day) / "log.csv").write_text(events(rows, "user_id,item_id,timestamp,event_type"))

    def gate(out: str, **config: Any) -> ExampleAnomalies:
        _, statistics = describe(data, tmp_path / out)
        schemas = infer(data, tmp_path / out, statistics)
        return validate(
            data, tmp_path / out, statistics, schemas, example_validator.Config(allowed=("users.user_id",), **config)
        )

    drop(9, 0.3)
    first = gate("first")
    assert not (first.path / DRIFT_FILE).exists() and first.reasons() == []
    assert "2,000 rows of interactions" in (first.path / DATASET_PAGE).read_text()
    drop(10, 0.3)
    assert gate("second").reasons() == []
    drop(11, 0.45)
    third = gate("third")
    assert [reason.partition(":")[0] for reason in third.reasons()] == ["interactions.event_type"]
    report = json.loads((third.path / DRIFT_FILE).read_text())
    assert report["baseline"]["name"] == f"{data}@9,10" and report["current"]["name"] == f"{data}@11"
    assert gate("fourth", baseline_spans=0).reasons() == []


def test_a_schemas_comparator_sets_the_limit(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    shifted = write_dataset(tmp_path / "shifted", log().replace("buy", "view"), ITEMS, description=WITH_FEATURES)
    (shifted / "schema").mkdir()
    curated = shifted / "schema" / "interactions.pbtxt"
    config = example_validator.Config(baseline=str(data))

    def reasons(out: str, comparator: str) -> list[str]:
        curated.write_text(f'feature {{ name: "event_type" type: BYTES drift_comparator {{ {comparator} }} }}')
        _, statistics = describe(shifted, tmp_path / out)
        schemas = infer(shifted, tmp_path / out, statistics)
        return [
            reason
            for reason in validate(shifted, tmp_path / out, statistics, schemas, config).reasons()
            if "over" in reason
        ]

    assert reasons("lax", "infinity_norm { threshold: 0.9 }") == []
    (reason,) = reasons("strict", "infinity_norm { threshold: 0.2 }")
    assert reason.startswith("interactions.event_type: l_infinity 0.5000 is over 0.2000")
    curated.write_text('feature { name: "price" type: FLOAT drift_comparator { infinity_norm { threshold: 0.1 } } }')
    _, statistics = describe(shifted, tmp_path / "wrong")
    schemas = infer(shifted, tmp_path / "wrong", statistics)
    with pytest.raises(DatasetError, match=r"interactions.price:l_infinity cannot be evaluated"):
        validate(shifted, tmp_path / "wrong", statistics, schemas, config)


def test_splits_are_compared_when_asked(tmp_path: pathlib.Path) -> None:
    kinds = ("view",) * 8 + ("buy", "buy")  # What is bought is bought at the end, in eval and test.
    data = write_dataset(tmp_path / "data", log(num_users=20, kinds=kinds), ITEMS, description=WITH_FEATURES)
    _, statistics = describe(data, tmp_path / "out")
    schemas = infer(data, tmp_path / "out", statistics)
    allowed = ("interactions.event_type",)
    anomalies = validate(
        data, tmp_path / "out", statistics, schemas, example_validator.Config(split_skew=True, allowed=allowed)
    )
    for split in ("eval", "test"):
        assert (
            "interactions.event_type:l_infinity"
            in json.loads((anomalies.path / f"drift-{split}.json").read_text())["drifted"]
        )


def test_a_changed_baseline_changes_the_digest(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert example_validator.config_inputs(example_validator.Config()) == {}
    inputs = example_validator.config_inputs(example_validator.Config(baseline=str(data)))
    before = inputs["baseline"].digest()
    (data / "interactions.csv").write_text(log(num_users=6))
    assert inputs["baseline"].digest() != before
    (data / "stats.pb").write_bytes(b"1")
    file = example_validator.config_inputs(example_validator.Config(baseline=str(data / "stats.pb")))["baseline"]
    before = file.digest()
    (data / "stats.pb").write_bytes(b"2")
    assert file.digest() != before
