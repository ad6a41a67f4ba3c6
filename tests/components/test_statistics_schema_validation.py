"""StatisticsGen, SchemaGen and ExampleValidator, one after the other on small data."""

from __future__ import annotations

import json
import pathlib

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components import example_gen, example_validator, schema_gen, statistics_gen
from components.artifacts import DatasetDir, ExampleAnomalies, ExampleStatistics, Schema
from components.quiet_tfdv import tfdv
from schemas.dataset import TABLES
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
) -> ExampleAnomalies:
    anomalies = ExampleAnomalies(out / "anomalies")
    inputs = example_validator.Inputs(
        DatasetDir(data),
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
    assert not validate(data, tmp_path / "allowed", statistics, schemas, allowed).reasons()


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
    same = validate(shifted, tmp_path / "same", statistics, schemas, example_validator.Config(baseline=str(shifted)))
    assert same.reasons() == []
