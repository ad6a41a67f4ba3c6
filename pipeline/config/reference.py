"""Every setting, for people, for programs and for editors."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pydantic

from homefeed.pipeline.config.fields import REQUIRED, Setting, settings_of
from homefeed.pipeline.dag import Dag
from homefeed.schemas.dataset import FILE_NAME, Dataset

DATASET = "dataset"

INTRO = """\
# Configuration

Every setting of every component, and of `dataset.yaml`. `homefeed config --markdown` writes this page from the code;
`homefeed config COMPONENT` shows a part of it, `homefeed config --json-schema` is for editors.

A component's settings come from its defaults, then from `--config FILE` (YAML, `component: {field: value}`), then
from `--set component.field=value`. They are checked before anything runs, and all mistakes are told at once. Text is
text, whatever it looks like: `--set example_gen.spans=3:7` names the spans 3 to 7.
"""


@dataclasses.dataclass(frozen=True)
class Section:
    """Settings that stand together.

    Attributes:
        name: the component's, or what part of `dataset.yaml` it is.
        meaning: one line.
        settings: by field.
        owner: the class of which they are the fields.
    """

    name: str
    meaning: str
    settings: Mapping[str, Setting]
    owner: type[Any]


def sections_of(dag: Dag) -> list[Section]:
    """One section a component, in the order of the run."""
    return [
        Section(n.name, _first_line(n.component.module), settings_of(n.component.config), n.component.config)
        for n in dag.nodes
    ]


def dataset_sections() -> list[Section]:
    """`dataset.yaml`, and then each of the mappings in it."""
    models = list(dict.fromkeys(_models(Dataset)))
    names = {Dataset: FILE_NAME} | {model: f"{FILE_NAME}: {model.__name__.lower()}" for model in models[1:]}
    return [Section(names[model], _first_line(model), settings_of(model), model) for model in models]


def as_rows(sections: Iterable[Section]) -> list[dict[str, Any]]:
    """For programs: one row a setting, with the limits of its values as JSON Schema has them."""
    return [
        {
            "section": section.name,
            "field": setting.name,
            "expected": setting.expected,
            "default": None if setting.default is REQUIRED else setting.default,
            "meaning": setting.meaning,
            "schema": setting.json_schema,
        }
        for section in sections
        for setting in section.settings.values()
    ]


def config_schema(sections: Iterable[Section]) -> dict[str, Any]:
    """JSON Schema of a configuration file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "homefeed configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            section.name: {
                "description": section.meaning,
                "type": "object",
                "additionalProperties": False,
                "properties": {s.name: s.json_schema for s in section.settings.values()},
            }
            for section in sections
        },
    }


def dataset_schema() -> dict[str, Any]:
    """JSON Schema of `dataset.yaml`, for editors."""
    schema = Dataset.model_json_schema()
    for section in dataset_sections():
        properties = (schema if section.owner is Dataset else schema["$defs"][section.owner.__name__])["properties"]
        for name, setting in section.settings.items():
            properties[name]["description"] = setting.meaning
    return schema


def to_page(dag: Dag) -> str:
    """`docs/configuration.md`."""
    return f"{INTRO}\n{to_markdown([*sections_of(dag), *dataset_sections()])}"


def to_markdown(sections: Iterable[Section]) -> str:
    """The reference, without its introduction."""
    return "\n".join(line for section in sections for line in _section_lines(section))


def groups_of(section: Section) -> dict[str, list[Setting]]:
    """The settings of the component or its model, and apart from them those of the run, which it inherits."""
    own = [setting for setting in section.settings.values() if setting.owner is section.owner]
    inherited = [setting for setting in section.settings.values() if setting.owner is not section.owner]
    return {"": own} | ({"Of the run": inherited} if inherited else {})


def _section_lines(section: Section) -> Iterator[str]:
    yield from (f"## {section.name}", "", section.meaning, "")
    for title, settings in groups_of(section).items():
        yield from (f"{title}:", "") if title else ()
        yield from ("| setting | expected | default | meaning |", "|---|---|---|---|")
        for setting in settings:
            cells = (f"`{setting.name}`", setting.expected, f"`{setting.shown_default}`", setting.meaning)
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        yield ""


def _models(model: type[pydantic.BaseModel]) -> Iterator[type[pydantic.BaseModel]]:
    """A model and those that its fields hold, each before its own."""
    yield model
    for field in model.model_fields.values():
        for part in _parts(field.annotation):
            yield from _models(part)


def _parts(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    elif not isinstance(annotation, type) or isinstance(annotation, types.GenericAlias):
        for part in typing.get_args(annotation):
            yield from _parts(part)


def _first_line(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]
