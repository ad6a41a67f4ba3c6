"""Compiled packages, and what a run of one sets."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.config import ConfigError, load_config
from homefeed.pipeline.deploy.errors import DeployUsageError
from homefeed.pipeline.deploy.kubeflow.compile import parameter_name, plain
from homefeed.pipeline.recommender import recommender
from homefeed.schemas.words import near

SERVING_DIR = parameter_name("pusher", "serving_dir")


def load_package(path: pathlib.Path) -> dict[str, Any]:
    """What `homefeed deploy compile` wrote.

    Raises:
        DeployUsageError: it is not there, or something else.
    """
    if not path.is_file():
        raise DeployUsageError(f"there is no package {path}: `homefeed deploy compile --out {path}` makes one")
    try:
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DeployUsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(spec, dict) or not {"root", "components", "deploymentSpec"} <= spec.keys():
        raise DeployUsageError(f"{path} is no Kubeflow package: `homefeed deploy compile --out {path}` makes one")
    return spec


def parameters(
    spec: Mapping[str, Any], data: str | None, serving_dir: str | None, settings: Sequence[str]
) -> dict[str, Any]:
    """What a run sets beside the package's own defaults."""
    defaults = {"pusher": {"serving_dir": serving_dir}} if serving_dir else {}
    configs = load_config(recommender(DatasetDir(pathlib.Path())), None, settings, defaults, elsewhere=True)
    named = [setting.partition("=")[0] for setting in settings]
    named += [f"{component}.{field}" for component, fields in defaults.items() for field in fields]
    values: dict[str, Any] = {}
    for component, _, field in (name.partition(".") for name in named):
        values[parameter_name(component, field)] = plain(getattr(configs[component], field))
    if data:
        values["dataset"] = data
    known = spec["root"]["inputDefinitions"]["parameters"]
    wrong = [f"the package has no parameter {name!r}{near(name, known)}" for name in values.keys() - known.keys()]
    missing = [
        name for name, p in known.items() if not {"defaultValue", "isOptional"} & p.keys() and name not in values
    ]
    wrong += [f"the package wants its parameter {name!r}: give --data URI" for name in missing]
    if not (values.get(SERVING_DIR) or known.get(SERVING_DIR, {}).get("defaultValue", True)):
        wrong.append("the package does not say where to publish: give --serving-dir PATH_OR_URL")
    if wrong:
        raise ConfigError(*wrong)
    return values
