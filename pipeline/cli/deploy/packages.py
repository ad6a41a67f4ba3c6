"""Compiled packages, and what a run of one sets."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from homefeed.pipeline.config import ConfigError, merge, near
from homefeed.pipeline.deploy.errors import DeployUsageError
from homefeed.pipeline.deploy.kubeflow.compile import parameter_name


def load_package(path: pathlib.Path) -> dict[str, Any]:
    """What `homefeed deploy compile` wrote.

    Raises:
        DeployUsageError: it is not there, or something else.
    """
    if not path.is_file():
        raise DeployUsageError(f"there is no package {path}: `homefeed deploy compile --out {path}` makes one")
    try:
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise DeployUsageError(f"{path} is not YAML: {error}") from error
    if not isinstance(spec, dict) or not {"root", "components", "deploymentSpec"} <= spec.keys():
        raise DeployUsageError(f"{path} is no Kubeflow package: `homefeed deploy compile --out {path}` makes one")
    return spec


def parameters(
    spec: Mapping[str, Any], data: str | None, serving_dir: str | None, settings: Sequence[str]
) -> dict[str, Any]:
    """What a run sets beside the package's own defaults."""
    defaults = {"pusher": {"serving_dir": serving_dir}} if serving_dir else {}
    values = {
        parameter_name(component, field): value
        for component, fields in merge(defaults, None, settings).items()
        for field, value in fields.items()
    }
    if data:
        values["dataset"] = data
    known = spec["root"]["inputDefinitions"]["parameters"]
    wrong = [f"the package has no parameter {name!r}{near(name, known)}" for name in values.keys() - known.keys()]
    missing = [
        name for name, p in known.items() if not {"defaultValue", "isOptional"} & p.keys() and name not in values
    ]
    wrong += [f"the package wants its parameter {name!r}: give --data URI" for name in missing]
    if wrong:
        raise ConfigError("\n".join(wrong))
    return values
