"""One declaration, four consequences: they are compared with each other and with what really is written."""

from __future__ import annotations

import math
import pathlib
import re
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from homefeed.components import schema_gen, statistics_gen
from homefeed.components.artifacts.quiet_tfdv import tfdv
from homefeed.components.artifacts.types import DatasetDir, ExampleStatistics, Schema
from homefeed.pipeline.datasets.sample import write_sample
from homefeed.schemas import features as spec
from homefeed.schemas.columns import STANDARD_COLUMNS, TABLES, Feature, TableName
from homefeed.schemas.dataset import Dataset, load_dataset
from tests.components.ingested import ingest

TYPES = {"BYTES": tf.string, "INT": tf.int64, "FLOAT": tf.float32}


def test_schema_parse_and_data_agree(tmp_path: pathlib.Path) -> None:
    data = tmp_path / "data"
    write_sample(data, num_users=40, num_items=60, num_events=400)
    examples = ingest(data, tmp_path / "out")
    statistics = {table: ExampleStatistics(tmp_path / "statistics" / table) for table in TABLES}
    schemas = {table: Schema(tmp_path / "schema" / table) for table in TABLES}
    inputs = statistics_gen.Inputs(examples.interactions, examples.items, examples.users)
    statistics_gen.run(inputs, statistics_gen.Outputs(**statistics), statistics_gen.Config())
    schema_gen.run(
        schema_gen.Inputs(DatasetDir(data), **statistics), schema_gen.Outputs(**schemas), schema_gen.Config()
    )
    dataset = load_dataset(data)
    for table in TABLES:
        declared = {f.name: f for f in spec.tfmd_schema(table, dataset.features(table)).feature}
        inferred = tfdv.load_schema_text(str(schemas[table].file))
        for feature in inferred.feature:
            twin = declared[feature.name]
            assert (feature.type, feature.presence) == (twin.type, twin.presence), feature.name
            assert feature.string_domain == twin.string_domain
            assert feature.float_domain == twin.float_domain
        split = "train" if table == "interactions" else "all"
        files = [str(file) for file in getattr(examples, table).split_files(split)]
        records = list(tf.data.TFRecordDataset(files, "GZIP"))
        lists = {
            name: tf.io.RaggedFeature(TYPES[spec.example_type(f)]) for name, f in dataset.features(table).items()
        }
        parsed = tf.io.parse_example(records, lists)
        for name in (feature.name for feature in inferred.feature):
            assert parsed[name].flat_values.shape[0] > 0, name


@pytest.mark.parametrize("table", TABLES)
def test_the_schemas_of_the_house_are_those_of_the_spec(table: TableName) -> None:
    path = pathlib.Path(spec.__file__).with_name(f"{table}.pbtxt")
    text = path.read_text(encoding="utf-8")
    made = spec.tfmd_schema(table, STANDARD_COLUMNS[table])
    assert text == spec.schema_text(made), "`python -m schemas` writes it anew"
    schema = tfdv.load_schema_text(str(path))
    assert list(schema.default_environment) == ["TRAINING", "SERVING"]
    required = {feature.name for feature in schema.feature if feature.presence.min_fraction == 1}
    assert required == {name for name, feature in STANDARD_COLUMNS[table].items() if feature.required}


def test_comparators_of_drift_and_skew() -> None:
    made = spec.tfmd_schema("interactions", STANDARD_COLUMNS["interactions"])
    by_name = {feature.name: feature for feature in made.feature}
    item, kind, value = (by_name[name] for name in ("item_id", "event_type", "value"))
    assert item.drift_comparator.jensen_shannon_divergence.threshold == spec.MIN_DIVERGENCE
    assert kind.skew_comparator.infinity_norm.threshold == spec.MIN_SHARE
    # Infinity norms of numbers are what TFDV passes over in silence.
    assert not value.HasField("drift_comparator") and not value.HasField("skew_comparator")


def test_a_label_is_not_in_a_request() -> None:
    schema = spec.tfmd_schema("interactions", {"value": Feature(kind="number"), "item_id": Feature(kind="id")})
    assert [list(feature.not_in_environment) for feature in schema.feature] == [["SERVING"], []]
    assert list(schema.default_environment) == ["TRAINING", "SERVING"]


def test_overlay_opens_seen_domains_that_are_not_categories() -> None:
    schema = schema_pb2.Schema(
        feature=[
            {"name": "title", "type": "BYTES", "domain": "title"},
            {"name": "brand", "type": "BYTES", "domain": "brand"},
        ],
        string_domain=[{"name": "title", "value": ["Tea"]}, {"name": "brand", "value": ["Kumo"]}],
    )
    features = {"title": Feature(kind="text", required=True), "brand": Feature(kind="category")}
    spec.overlay(schema, "items", features, min_domain_mass=0.9)
    title, brand = schema.feature
    assert not title.domain and title.presence.min_fraction == 1
    assert brand.domain == "brand" and brand.distribution_constraints.min_domain_mass == 0.9
    assert [domain.name for domain in schema.string_domain] == ["brand"]


def test_serving_inputs(tmp_path: pathlib.Path) -> None:
    write_sample(tmp_path, num_users=5, num_items=40, num_events=20)
    inputs = spec.serving_inputs(load_dataset(tmp_path))
    assert inputs["user_language"] == spec.Input("string", (-1,))
    assert inputs["user_age"].dtype == "float32" and math.isnan(float(inputs["user_age"].default))
    assert inputs["history"].shape == (-1, -1)
    assert not {"user_user_id", "value", "item_id"} & inputs.keys()


def dataset(interactions: dict[str, Any] | None = None, users: dict[str, Any] | None = None, **more: Any) -> Dataset:
    return Dataset.model_validate(
        {
            "name": "shop",
            "interactions": {"path": "i.csv", "features": interactions or {}},
            "items": {"path": "items.csv"},
            "users": {"path": "users.csv", "features": users or {}},
            **more,
        }
    )


def test_features_of_events_and_of_the_context_are_inputs() -> None:
    events = {"device": {"kind": "category", "context": True}, "price_paid": {"kind": "number"}}
    tastes = {"taste": {"kind": "embedding", "size": 3}, "likes": {"kind": "categories"}}
    inputs = spec.serving_inputs(dataset(events, tastes))
    assert inputs["history_device"] == spec.Input("string", (-1, -1))
    assert inputs["context_device"] == spec.Input("string", (-1,))
    assert (inputs["history_price_paid"].dtype, inputs["history_price_paid"].shape) == ("float32", (-1, -1))
    assert "context_price_paid" not in inputs  # Nobody has paid yet.
    assert inputs["user_taste"].shape == (-1, 3) and inputs["user_likes"].shape == (-1, -1)


def test_what_the_data_lacks_is_no_input() -> None:
    declared = dataset({"device": {"kind": "category", "context": True}, "page": {"kind": "category"}})
    inputs = spec.serving_inputs(declared, present={("interactions", "page")})
    assert sorted(inputs) == ["history", "history_page", "history_timestamp", "timestamp"]


def test_only_what_a_request_knows_is_in_the_serving_environment() -> None:
    declared = dataset({"device": {"kind": "category", "context": True}, "price_paid": {"kind": "number"}})
    schema = spec.tfmd_schema("interactions", declared.features("interactions"))
    outcomes = {feature.name for feature in schema.feature if "SERVING" in feature.not_in_environment}
    assert outcomes == {"value", "price_paid"}
    by_name = {feature.name: feature for feature in schema.feature}
    assert by_name["device"].skew_comparator.infinity_norm.threshold == spec.MIN_SHARE


@pytest.mark.parametrize(
    ("interactions", "users", "more", "message"),
    [
        ({"photo": {"kind": "embedding", "size": 2}}, {}, {}, "no model reads the kind 'embedding' of interactions"),
        ({"tags": {"kind": "categories"}}, {}, {}, "declare it as one of category, number, or leave it out"),
        ({}, {"bio": {"kind": "text"}}, {}, "users.features.bio: no model reads the kind 'text' of users"),
        ({}, {"born": {"kind": "timestamp"}}, {}, "users.features.born: no model reads the kind 'timestamp'"),
        (
            {},
            {"age": {"kind": "number", "context": True}},
            {},
            "users.features.age: `context` is for declared columns",
        ),
        ({"query": {"kind": "text", "context": True}}, {}, {}, "interactions.features.query: `context` is for"),
        (
            {"paid": {"kind": "number", "guard": True}},
            {},
            {},
            "interactions.features.paid: `guard` is for users' category",
        ),
        ({}, {"face": {"kind": "embedding", "size": 2, "guard": True}}, {}, "face: `guard` is for users'"),
        ({}, {"user_id": {"kind": "id", "guard": True}}, {}, "users.features.user_id: `guard` is for users'"),
        ({}, {}, {"time_zone": "Peking"}, "'Peking' is no IANA time zone such as Asia/Shanghai"),
        ({"hour": {"kind": "number"}}, {}, {"time_zone": "UTC"}, "`time_zone` derives it from the time"),
    ],
)
def test_declarations_without_an_effect_are_refused(
    interactions: dict[str, Any], users: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        dataset(interactions, users, **more)


def test_standard_columns_may_be_declared_anew() -> None:
    declared = dataset({"event_type": {"kind": "category", "domain": ["view", "buy"]}, "query": {"kind": "text"}})
    assert declared.event_features["event_type"].domain == ("view", "buy")
    assert declared.event_features.keys() == {"event_type", "value"}
