"""`homefeed config`: everything that can be set, for people, programs and editors."""

import json
import pathlib

import pytest

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.config import reference
from homefeed.pipeline.config.fields import settings_of
from homefeed.pipeline.recommender import recommender
from homefeed.schemas.dataset import Dataset
from tests.documents import HOUSE

DAG = recommender(DatasetDir(pathlib.Path()))
SECTIONS = reference.sections_of(DAG)


def test_the_page_in_docs_is_what_the_code_says() -> None:
    written = (HOUSE / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == reference.to_page(DAG), "`make docs` writes it anew"


def test_every_field_of_every_component_is_there_once() -> None:
    rows = [(row["section"], row["field"]) for row in reference.as_rows(SECTIONS)]
    fields = [(node.name, name) for node in DAG.nodes for name in settings_of(node.component.config)]
    assert rows == fields and len(rows) == len(set(rows)) > 80


def test_the_schema_of_a_configuration_admits_the_defaults_and_refuses_what_loading_refuses() -> None:
    schema = reference.config_schema(SECTIONS)
    trainer = schema["properties"]["retrieval_trainer"]
    rate = trainer["properties"]["learning_rate"]
    assert (rate["exclusiveMinimum"], rate["maximum"], rate["default"]) == (0, 1, 0.002)
    assert not schema["additionalProperties"] and not trainer["additionalProperties"]
    assert trainer["properties"]["index"]["enum"] == ["auto", "exact", "partitioned"]
    json.dumps(schema, allow_nan=False)


def test_the_schema_of_dataset_yaml_describes_every_field() -> None:
    schema = reference.dataset_schema()
    assert schema["properties"]["name"]["description"] == "Of the dataset; runs are recorded under it."
    assert schema["$defs"]["Feature"]["properties"]["kind"]["enum"][:2] == ["id", "timestamp"]
    assert schema["required"] == ["name", "interactions"]
    properties = [schema["properties"], *(model["properties"] for model in schema["$defs"].values())]
    assert all(field["description"] for fields in properties for field in fields.values())


def test_dataset_yaml_comes_first_and_then_what_it_holds() -> None:
    names = [section.name for section in reference.dataset_sections()]
    assert names[0] == "dataset.yaml" and {"dataset.yaml: table", "dataset.yaml: feature"} <= set(names)
    assert reference.dataset_sections()[0].owner is Dataset


@pytest.mark.parametrize(
    ("component", "run"), [("retrieval_trainer", {"seed", "base_model", "strategy"}), ("fuser", set())]
)
def test_settings_of_a_run_stand_apart(component: str, run: set[str]) -> None:
    (section,) = (section for section in SECTIONS if section.name == component)
    groups = reference.groups_of(section)
    assert {setting.name for setting in groups.get("Of the run", [])} == run
    assert sum(map(len, groups.values())) == len(section.settings)
