"""How a configuration is put together, and checked before anything runs."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import yaml

from homefeed.pipeline.config.errors import ConfigError
from homefeed.pipeline.config.fields import settings_of
from homefeed.pipeline.dag import Dag
from homefeed.schemas import text_yaml
from homefeed.schemas.words import near

Values = Mapping[str, Mapping[str, Any]]
"""Component → field → value, as text or as a value of the field's type."""


def load_config(
    dag: Dag,
    file: pathlib.Path | None = None,
    settings: Iterable[str] = (),
    defaults: Values | None = None,
    elsewhere: bool = False,
) -> dict[str, Any]:
    """Component name → its Config.

    Args:
        dag: the pipeline to configure.
        defaults: what the place of the run decides; the file wins over it.
        file: YAML, `component: {field: value}`.
        settings: `component.field=value`; they win over the file.
        elsewhere: the run is on another machine, so that paths are not looked for on this one.

    Raises:
        ConfigError: every mistake in the file and the settings, at once.
    """
    classes = {node.name: node.component.config for node in dag.nodes}
    return load_fields(classes, file, settings, defaults, elsewhere, dag.check)


def load_fields(
    classes: Mapping[str, type[Any]],
    file: pathlib.Path | None = None,
    settings: Iterable[str] = (),
    defaults: Values | None = None,
    elsewhere: bool = False,
    check_all: Callable[[Mapping[str, Any]], list[str]] = lambda built: [],
) -> dict[str, Any]:
    """`load_config` for dataclasses of any kind: name → class in, name → instance out.

    `check_all` says what is against the instances, each of which is right by itself.
    """
    values, mistakes = _merge(defaults or {}, _read(file) if file else {}, settings)
    mistakes += [f"no component {name!r}{near(name, classes)}" for name in values if name not in classes]
    built: dict[str, Any] = {}
    for name, cls in classes.items():
        fields, wrong = _read_fields(name, cls, values.get(name, {}), elsewhere)
        built[name] = cls(**fields)  # Where a value is wrong, the default stands in: other rules are judged as well.
        mistakes += [*wrong.values(), *(f"{name}.{rule}" for rule in check(built[name]) if not _names(rule, wrong))]
    mistakes = mistakes or check_all(built)
    if mistakes:
        raise ConfigError(*mistakes)
    return built


def check(config: Any) -> list[str]:
    """What is against a Config whose fields are right one by one: the rules between them."""
    rules = getattr(config, "check", None)
    return rules() if rules else []


def _read_fields(
    name: str, cls: type[Any], given: Mapping[str, Any], elsewhere: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """The values that are right, and what is wrong with the others, by field."""
    known = settings_of(cls)
    fields: dict[str, Any] = {}
    mistakes: dict[str, str] = {}
    for field, value in given.items():
        if field not in known:
            mistakes[field] = f"{name} has no field {field!r}{near(field, known)}"
            continue
        try:
            fields[field] = known[field].read(value, elsewhere)
        except ValueError as error:
            mistakes[field] = f"{name}.{field}: {error}"
    return fields, mistakes


def _names(mistake: str, fields: Iterable[str]) -> bool:
    return any(re.search(rf"\b{field}\b", mistake) for field in map(re.escape, fields))


def _read(file: pathlib.Path) -> dict[str, Any]:
    if not file.is_file():
        raise ConfigError(f"there is no configuration file {file}")
    try:
        values = text_yaml.load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict) or not all(isinstance(v, dict | None) for v in values.values()):
        raise ConfigError(f"{file} should hold `component: {{field: value}}` and nothing else")
    return values


def _merge(
    defaults: Values, from_file: Mapping[str, Mapping[str, Any] | None], settings: Iterable[str]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The values, later ones winning, and what is no setting at all."""
    merged: dict[str, dict[str, Any]] = {}
    mistakes = []
    for layer in (defaults, from_file):
        for name, fields in layer.items():
            merged.setdefault(name, {}).update(fields or {})
    for setting in settings:
        key, equals, value = setting.partition("=")
        name, dot, field = key.partition(".")
        if equals and dot and name and field:
            merged.setdefault(name, {})[field] = value
        else:
            mistakes.append(f"{setting!r} should read component.field=value, as in ranking_trainer.patience=2")
    return merged, mistakes
