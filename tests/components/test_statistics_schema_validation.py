"""StatisticsGen, SchemaGen and ExampleValidator, one after the other on small data."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2

from homefeed.components import statistics_gen
from homefeed.components.artifacts.quiet_tfdv import tfdv
from homefeed.components.artifacts.types import (
    DatasetDir,
    ExampleAnomalies,
    Examples,
    ExampleStatistics,
    Quarantine,
    Schema,
)
from homefeed.components.example_gen import component as example_gen
from homefeed.components.example_validator import component as example_validator
from homefeed.components.schema_gen import component as schema_gen
from homefeed.schemas.dataset import TABLES, DatasetError
from tests.components.ingested import DESCRIPTION, events, ingest, write_dataset

ITEMS = "item_id,title,price,size\n" + "".join(f"{n},Thing {n},{n / 10},{'SM'[n % 2]}\n" for n in range(40))
WITH_FEATURES = DESCRIPTION.replace(
    "items.csv}",
    "items.csv, features: {price: {kind: number, min: 0}, size: {kind: category, domain: [S, M, L]}}}",
)


def log(num_users: int = 5, kinds: tuple[str, ...] = ("view", "buy")) -> str:
    rows = [(f"u{n % num_users}", n % 40, n, kinds[n * len(kinds) // 200]) for n in range(200)]
    return events(rows, "user_id,item_id,timestamp,event_type")


def describe(data: pathlib.Path, out: pathlib.Path) -> tuple[example_gen.Outputs, statistics_gen.Outputs]:
    examples = ingest(data, out)
    statistics = statistics_gen.Outputs(*(ExampleStatistics(out / "statistics" / table) for table in TABLES))
    inputs = statistics_gen.Inputs(examples.interactions, examples.items, examples.users)
    statistics_gen.run(inputs, statistics, statistics_gen.Config())
    return examples, statistics


def infer(data: pathlib.Path, out: pathlib.Path, statistics: statistics_gen.Outputs) -> schema_gen.Outputs:
    schemas = schema_gen.Outputs(*(Schema(out / "schema" / table) for table in TABLES))
    schema_gen.run(schema_gen.Inputs(DatasetDir(data), **vars(statistics)), schemas, schema_gen.Config())
    return schemas


def validate(
    data: pathlib.Path,
    out: pathlib.Path,
    statistics: statistics_gen.Outputs,
    schemas: schema_gen.Outputs,
    config: example_validator.Config = example_validator.Config(),  # noqa: B008
    name: str = "anomalies",
) -> ExampleAnomalies:
    anomalies = ExampleAnomalies(out / name)
    inputs = example_validator.Inputs(
        DatasetDir(data),
        Quarantine(out / "q"),
        Examples(out / "interactions"),
        **{f"{table}_statistics": getattr(statistics, table) for table in TABLES},
        **{f"{table}_schema": getattr(schemas, table) for table in TABLES},
    )
    example_validator.run(inputs, example_validator.Outputs(anomalies), config)
    return anomalies


@pytest.fixture
def data(tmp_path: pathlib.Path) -> pathlib.Path:
    return write_dataset(tmp_path / "data", log(), ITEMS, description=WITH_FEATURES)


def test_tfdv_reads_what_we_write(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    examples, statistics = describe(data, tmp_path / "out")
    (found,) = tfdv.load_stats_binary(str(statistics.interactions.split_file("train"))).datasets
    assert found.num_examples == 5  # Users.
    items = next(f for f in found.features if f.path.step[0] == "item_id")
    assert items.string_stats.common_stats.tot_num_values == 160
    assert items.string_stats.unique == 40
    # TFDV's own reading of our TFRecords says the same.
    (again,) = tfdv.generate_statistics_from_tfrecord(
        str(examples.interactions.split_dir("train") / "*.gz"),
        pipeline_options=None,
    ).datasets
    assert {f.path.step[0] for f in again.features} == {f.path.step[0] for f in found.features}
    schemas = infer(data, tmp_path / "out", statistics)
    schema = tfdv.load_schema_text(str(schemas.items.file))
    assert {feature.name for feature in schema.feature} == {"item_id", "title", "price", "size"}


def test_what_is_declared_overrules_what_was_seen(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    _, statistics = describe(data, tmp_path / "out")
    schema = tfdv.load_schema_text(str(infer(data, tmp_path / "out", statistics).items.file))
    assert list(tfdv.get_domain(schema, "size").value) == ["S", "M", "L"]  # L was never seen.
    price = tfdv.get_feature(schema, "price")
    assert price.float_domain.min == 0
    assert price.presence.min_fraction == 0
    assert tfdv.get_feature(schema, "title").presence.min_fraction == 1
    assert list(schema.default_environment) == ["TRAINING", "SERVING"]


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


def test_curated_schema_replaces_the_inferred(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (data / "schema").mkdir()
    curated = data / "schema" / "items.pbtxt"
    curated.write_text('feature { name: "price" type: FLOAT float_domain { max: 2.0 } }')
    _, statistics = describe(data, tmp_path / "out")
    schemas = infer(data, tmp_path / "out", statistics)
    reasons = validate(data, tmp_path / "out", statistics, schemas).reasons()
    assert any(reason.startswith("items/all: feature 'price': Out-of-range values") for reason in reasons)
    curated.write_text("feature: what?")
    with pytest.raises(ValueError, match=r"items.pbtxt is not a TFMD schema in text form"):
        infer(data, tmp_path / "again", statistics)


def test_an_empty_split_breaks_nothing() -> None:
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

    schema = text_format.Parse('feature { name: "a" type: INT presence { min_fraction: 1 } }', schema_pb2.Schema())
    nothing = statistics_pb2.DatasetFeatureStatisticsList(datasets=[{}])
    assert not example_validator.find_anomalies(nothing, schema, "TRAINING").anomaly_info


def test_drift_between_spans_closes_the_gate(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    shifted = write_dataset(tmp_path / "shifted", log().replace("buy", "view"), ITEMS, description=WITH_FEATURES)
    _, statistics = describe(shifted, tmp_path / "out")
    schemas = infer(shifted, tmp_path / "out", statistics)
    config = example_validator.Config(baseline=str(data))
    anomalies = validate(shifted, tmp_path / "out", statistics, schemas, config)
    assert [reason.partition(": ")[0] for reason in anomalies.reasons()] == ["interactions.event_type"]
    report = json.loads((anomalies.path / example_validator.DRIFT_FILE).read_text())
    assert report["drifted"] == ["interactions.event_type:l_infinity"]
    assert (anomalies.path / example_validator.DRIFT_PAGE).is_file()
    config = example_validator.Config(baseline=str(shifted))
    same = validate(shifted, tmp_path / "out", statistics, schemas, config, "same")
    assert same.reasons() == []


def test_the_newest_span_is_compared_with_those_before_it(tmp_path: pathlib.Path) -> None:
    description = WITH_FEATURES.replace("interactions.csv", '"days/{SPAN}/log.csv"')
    data = write_dataset(tmp_path / "data", "", ITEMS, description=description)
    rng = np.random.default_rng(0)

    def drop(day: int, share: float) -> None:
        kinds = np.where(rng.random(2000) < share, "buy", "view")
        rows = [(f"u{n % 50}", n % 40, 86_400 * day + n, kind) for n, kind in enumerate(kinds)]
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
    assert not (first.path / example_validator.DRIFT_FILE).exists() and first.reasons() == []
    assert "2,000 rows of interactions" in (first.path / example_validator.DATASET_PAGE).read_text()
    drop(10, 0.3)
    assert gate("second").reasons() == []
    drop(11, 0.45)
    third = gate("third")
    assert [reason.partition(":")[0] for reason in third.reasons()] == ["interactions.event_type"]
    report = json.loads((third.path / example_validator.DRIFT_FILE).read_text())
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
