import pytest
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.quiet_tfdv import tfdv
from homefeed.components.schema_gen import inference
from homefeed.schemas.columns import Feature
from tests.components.described import describe_rows
from tests.components.ragged import strings

FEATURES = {
    "item_id": Feature(kind="id"),
    "title": Feature(kind="text", required=True),
    "size": Feature(kind="category"),
    "brand": Feature(kind="category", domain=["Kumo", "Lumen"]),
    "unseen": Feature(kind="number"),
}


@pytest.fixture(scope="module")
def seen() -> statistics_pb2.DatasetFeatureStatisticsList:
    rows = range(30)
    items = example_io.record_batch(
        {
            "item_id": strings(*([f"i{row}"] for row in rows)),
            "title": strings(*([f"Thing {row}"] for row in rows)),
            "size": strings(*([["S", "M", "L"][row % 3]] for row in rows)),
            "brand": strings(*(["Kumo"] if row % 2 else [] for row in rows)),
        }
    )
    return describe_rows(items)


def domains(schema: schema_pb2.Schema) -> dict[str, list[str]]:
    return {domain.name: sorted(domain.value) for domain in schema.string_domain}


def test_what_was_seen_makes_a_domain_and_what_was_declared_overrules_it(
    seen: statistics_pb2.DatasetFeatureStatisticsList,
) -> None:
    schema = inference.infer(seen, "items", FEATURES, max_domain_size=100, min_domain_mass=0.95)
    assert {feature.name for feature in schema.feature} == {"item_id", "title", "size", "brand"}
    assert domains(schema)["size"] == ["L", "M", "S"]
    assert list(tfdv.get_domain(schema, "brand").value) == ["Kumo", "Lumen"]
    by_name = {feature.name: feature for feature in schema.feature}
    assert by_name["title"].presence.min_fraction == 1 and by_name["size"].presence.min_fraction == 0


def test_a_category_of_many_values_stays_open(seen: statistics_pb2.DatasetFeatureStatisticsList) -> None:
    schema = inference.infer(seen, "items", FEATURES, max_domain_size=2, min_domain_mass=0.95)
    assert "size" not in domains(schema)
    by_name = {feature.name: feature for feature in schema.feature}
    assert not by_name["size"].HasField("domain")


def test_a_part_of_the_values_must_be_known(seen: statistics_pb2.DatasetFeatureStatisticsList) -> None:
    schema = inference.infer(seen, "items", FEATURES, max_domain_size=100, min_domain_mass=0.8)
    constraints = {f.name: f.distribution_constraints.min_domain_mass for f in schema.feature}
    assert constraints["size"] == pytest.approx(0.8)
