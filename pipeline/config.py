"""The configuration of a run: defaults in each component's Config, then a YAML file, then `--set a.b=c`."""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic
import yaml

from homefeed.pipeline.dag import Dag
from homefeed.schemas.errors import HomefeedError


class ConfigError(HomefeedError, ValueError):
    """The configuration names something that does not exist, or gives it a value of the wrong kind."""

    exit_code = 2


def load_config(
    dag: Dag,
    file: pathlib.Path | None = None,
    settings: Iterable[str] = (),
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Component name → its Config.

    Args:
        dag: the pipeline to configure.
        defaults: what the place of the run decides, as component → field → value; the file wins over it.
        file: YAML, `component: {field: value}`.
        settings: `component.field=value`, the value in YAML; they win over the file.

    Raises:
        ConfigError: every mistake in the file and the settings, at once.
    """
    values = merge(defaults or {}, file, settings)
    return load_fields({node.name: node.component.config for node in dag.nodes}, values)


def merge(
    defaults: Mapping[str, Mapping[str, Any]], file: pathlib.Path | None, settings: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Component → field → value: the defaults, then the YAML file, then `component.field=value` each."""
    return _merge([defaults, _read(file) if file else {}], map(_parse_setting, settings))


def load_fields(classes: Mapping[str, type[Any]], values: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Component name → an instance of its class with the given fields.

    Raises:
        ConfigError: every mistake, at once.
    """
    mistakes = [f"no component {name!r}{near(name, classes)}" for name in values.keys() - classes.keys()]
    built: dict[str, Any] = {}
    for name, cls in classes.items():
        given = values.get(name, {})
        known = [field.name for field in dataclasses.fields(cls)]
        mistakes += [f"{name} has no field {field!r}{near(field, known)}" for field in given if field not in known]
        try:
            built[name] = pydantic.TypeAdapter(cls).validate_python(_with_names(cls, given))
        except pydantic.ValidationError as error:
            mistakes += [_describe(name, mistake) for mistake in error.errors()]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return built


def _with_names(cls: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Where text is asked for, a number is a name: `spans=7` means the span 7."""
    texts = {field.name for field in dataclasses.fields(cls) if field.type in ("str", str)}
    return {
        name: str(value) if name in texts and type(value) in (int, float) else value for name, value in given.items()
    }


class _Loader(yaml.SafeLoader):
    """Safe, and a date stays text: spans are named by dates."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _read(file: pathlib.Path) -> dict[str, Any]:
    if not file.is_file():
        raise ConfigError(f"there is no configuration file {file}")
    try:
        values = yaml.load(file.read_text(encoding="utf-8"), _Loader) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not YAML: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(v, dict | None) for v in values.values()):
        raise ConfigError(f"{file} should hold `component: {{field: value}}` and nothing else")
    return values


def _parse_setting(setting: str) -> tuple[str, str, Any]:
    key, equals, value = setting.partition("=")
    name, dot, field = key.partition(".")
    if not (equals and dot and name and field):
        raise ConfigError(f"{setting!r} should read component.field=value, as in ranking_trainer.epochs=2")
    return name, field, yaml.load(value, _Loader)


def _merge(
    layers: Iterable[Mapping[str, Any]], settings: Iterable[tuple[str, str, Any]]
) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for name, fields in layer.items():
            merged.setdefault(name, {}).update(fields or {})
    for name, field, value in settings:
        merged.setdefault(name, {})[field] = value
    return merged


def _describe(component: str, mistake: Any) -> str:
    return f"{component}.{'.'.join(map(str, mistake['loc']))}: {mistake['msg']}, got {mistake['input']!r}"


def near(name: str, known: Iterable[str]) -> str:
    """The end of a message on a name that is not known: the nearest one, or all of them."""
    known = list(known)
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else f"; there are {', '.join(sorted(known)) or 'none'}"
