import pathlib

import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import ExampleAnomalies, ExampleStatistics, Schema
from homefeed.components.example_validator.anomalies import explain, find_anomalies, write_anomalies
from tests.components.described import describe_rows
from tests.components.ragged import strings


def test_an_empty_split_breaks_nothing() -> None:
    schema = text_format.Parse('feature { name: "a" type: INT presence { min_fraction: 1 } }', schema_pb2.Schema())
    nothing = statistics_pb2.DatasetFeatureStatisticsList(datasets=[{}])
    assert not find_anomalies(nothing, schema, "TRAINING").anomaly_info


SCHEMA = """
feature { name: "size" type: BYTES domain: "size" presence { min_count: 1 } not_in_environment: "SERVING" }
feature { name: "title" type: BYTES presence { min_count: 1 } }
string_domain { name: "size" value: "S" value: "M" }
default_environment: "TRAINING" default_environment: "SERVING"
"""


def statistics(*sizes: str) -> statistics_pb2.DatasetFeatureStatisticsList:
    rows = {"size": strings(*([size] for size in sizes)), "title": strings(*(["t"] for _ in sizes))}
    return describe_rows(example_io.record_batch(rows))


@pytest.fixture
def schema() -> schema_pb2.Schema:
    return text_format.Parse(SCHEMA, schema_pb2.Schema())


def test_a_value_outside_of_its_domain_is_an_anomaly(schema: schema_pb2.Schema) -> None:
    assert not find_anomalies(statistics("S", "M"), schema, "TRAINING").anomaly_info
    found = find_anomalies(statistics("S", "XXL"), schema, "TRAINING")
    assert list(found.anomaly_info) == ["size"]
    (sentence,) = explain(found, "items", "all").values()
    assert sentence.startswith("items/all: feature 'size': ") and "XXL" in sentence


def test_an_environment_need_not_have_a_column(schema: schema_pb2.Schema) -> None:
    rows = example_io.record_batch({"title": strings(["t"], ["u"])})
    without = describe_rows(rows)
    assert list(find_anomalies(without, schema, "TRAINING").anomaly_info) == ["size"]
    assert not find_anomalies(without, schema, "SERVING").anomaly_info
    del schema.default_environment[:]  # A schema that knows none is asked for all of it.
    assert list(find_anomalies(without, schema, "SERVING").anomaly_info) == ["size"]


NUMBERS = """
feature { name: "value" type: FLOAT float_domain { min: 1 max: 5 } presence { min_count: 0 } }
"""


@pytest.mark.parametrize(("values", "anomalies"), [([np.nan, np.nan], []), ([np.nan, 0.0], ["value"])])
def test_a_number_that_is_missing_everywhere_breaks_no_limit(values: list[float], anomalies: list[str]) -> None:
    rows = example_io.record_batch({"value": (np.array(values, np.float32), np.array([0, len(values)]))})
    schema = text_format.Parse(NUMBERS, schema_pb2.Schema())
    found = find_anomalies(describe_rows(rows), schema, "TRAINING")
    assert list(found.anomaly_info) == anomalies


@pytest.mark.parametrize(("column", "anomalies"), [("impression_id", []), ("surprise", ["surprise"])])
def test_what_tells_of_pages_may_be_new(column: str, anomalies: list[str], schema: schema_pb2.Schema) -> None:
    rows = {"size": strings(["S"]), "title": strings(["t"]), column: strings(["p"])}
    described = describe_rows(example_io.record_batch(rows))
    assert list(find_anomalies(described, schema, "TRAINING").anomaly_info) == anomalies


def test_anomalies_of_a_table_as_a_whole_are_told_under_its_name() -> None:
    whole = anomalies_pb2.Anomalies()
    whole.dataset_anomaly_info.description = "too few examples"
    assert explain(whole, "items", "all") == {"items": "items/all: too few examples"}
    whole.data_missing = True
    assert explain(whole, "items", "all") == {"items": "items/all: there is no data"}
    assert explain(anomalies_pb2.Anomalies(), "items", "all") == {}


def test_every_split_of_every_table_has_its_anomalies(schema: schema_pb2.Schema, tmp_path: pathlib.Path) -> None:
    found = {table: ExampleStatistics(tmp_path / table) for table in ("interactions", "items")}
    for table, split, sizes in (
        ("interactions", "train", ("S", "M")),
        ("interactions", "eval", ("S", "L")),
        ("items", "all", ("L", "M")),
    ):
        path = found[table].split_file(split)
        path.parent.mkdir(parents=True)
        path.write_bytes(statistics(*sizes).SerializeToString())
    schemas = {}
    for table in found:
        schemas[table] = Schema(tmp_path / "schemas" / table)
        schemas[table].path.mkdir(parents=True)
        schemas[table].file.write_text(SCHEMA)
    anomalies = ExampleAnomalies(tmp_path / "out")
    reasons, num_allowed = write_anomalies(found, schemas, anomalies, "TRAINING", ["items.size"])
    assert [reason.partition(":")[0] for reason in reasons] == ["interactions/eval"] and num_allowed == 1
    assert sorted(path.parent.name for path in anomalies.path.rglob("*.pb")) == [
        "Split-interactions-eval",
        "Split-interactions-train",
        "Split-items-all",
    ]
    again = anomalies_pb2.Anomalies.FromString(anomalies.split_file("items-all").read_bytes())
    assert list(again.anomaly_info) == ["size"]
