"""Runs one component by itself, as a container of a pipeline does, or a person by hand."""

from __future__ import annotations

import functools
import json
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import pydantic

from homefeed.components import contract
from homefeed.components.artifacts.types import Artifact, Gate, GateClosed
from homefeed.components.contract import Component
from homefeed.pipeline.config import ConfigError, load_fields
from homefeed.pipeline.runner.errors import RunError

OPEN, CLOSED = "open", "closed"


def run_component(
    name: str,
    inputs: Mapping[str, pathlib.Path],
    outputs: Mapping[str, pathlib.Path],
    config: Sequence[str] = (),
    verdicts: Mapping[str, pathlib.Path] | None = None,
    overwrite: bool = False,
    executor_output: pathlib.Path | None = None,
) -> str:
    """Runs a component on the given folders and returns its summary.

    Where several processes run it together, all with the same arguments, one of them writes the outputs.

    Args:
        name: the component's (`example_gen`), or the module of one that lives elsewhere (`mine.components.boost`).
        inputs: input name → folder.
        outputs: output name → folder to write.
        config: `field=value` each, lists and mappings in JSON or YAML. What is not named keeps its default.
        verdicts: gate output → file that gets its verdict, `open` or `closed`; a closed gate without one is an error.
        overwrite: whether what an earlier attempt left in the outputs may be removed.
        executor_output: file that gets the outputs as Kubeflow's `ExecutorOutput`, in JSON.

    Raises:
        ConfigError: there is no such component, input, output or field, or one is missing.
        GateClosed: a gate that has no file for its verdict said no.
        RunError: an output is there already, or the component did not write it.
    """
    component, values = check_component(name, inputs, outputs, config)
    missing = [f"--input {name}: {path} is not there" for name, path in inputs.items() if not path.exists()]
    if missing:
        raise ConfigError(*missing)
    written = _artifacts(component.output_types, outputs)
    run = functools.partial(
        component.run, component.inputs(**_artifacts(component.input_types, inputs)), component.outputs(**written)
    )
    if component.is_helper(values):
        return run(values)
    for path in outputs.values():
        _make_way(path, overwrite)
    summary = run(values)
    missing = [str(artifact.path) for artifact in written.values() if not artifact.path.is_dir()]
    if missing:
        raise RunError(f"{component.title} finished without writing its outputs {missing}")
    _deliver_verdicts(component, written, verdicts or {})
    if executor_output is not None:
        listed = {n: {"artifacts": [{"name": n, "uri": str(artifact.path)}]} for n, artifact in written.items()}
        executor_output.write_text(json.dumps({"artifacts": listed}), encoding="utf-8")
    return summary


def check_component(
    name: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any], config: Sequence[str], elsewhere: bool = False
) -> tuple[Component, Any]:
    """The component and its Config, for inputs and outputs of the right names; see `run_component`.

    Raises:
        ConfigError: one is wrong or missing; with `elsewhere`, what depends on this machine is not looked at.
    """
    component = load_component(name)
    values, mistakes = _read(component, name, config, elsewhere)
    mistakes += _wrong_names(component.title, "input", inputs, component.input_types)
    mistakes += _wrong_names(component.title, "output", outputs, component.output_types)
    if mistakes:
        raise ConfigError(*mistakes)
    return component, values


def named_paths(flag: str, pairs: Sequence[str]) -> dict[str, pathlib.Path]:
    """`name=PATH` each, as a dict.

    Raises:
        ConfigError: one does not read so.
    """
    split = [pair.partition("=") for pair in pairs]
    wrong = [pair for pair, (name, _, path) in zip(pairs, split, strict=True) if not (name and path)]
    if wrong:
        raise ConfigError(f"--{flag} takes name=PATH, got {', '.join(map(repr, wrong))}")
    # A worker of Beam has another working directory.
    return {name: pathlib.Path(path).absolute() for name, _, path in split}


def load_component(name: str) -> Component:
    """The component of that name.

    Raises:
        ConfigError: there is none.
    """
    module = name if "." in name else f"homefeed.components.{name}"
    try:
        return contract.load(module)
    except (ModuleNotFoundError, TypeError) as error:
        raise ConfigError(f"there is no component {name!r}: {error}") from error


def config_types(component: Component) -> dict[str, str]:
    """Config field → its JSON type: string, integer, number, boolean, array or object."""
    properties: dict[str, Any] = pydantic.TypeAdapter(component.config).json_schema().get("properties", {})
    return {
        field: schema.get("type", "string" if "enum" in schema else "object") for field, schema in properties.items()
    }


def _read(component: Component, name: str, settings: Sequence[str], elsewhere: bool) -> tuple[Any, list[str]]:
    """The component's Config, and what is wrong with it."""
    split = [(setting, *setting.partition("=")) for setting in settings]
    wrong = [f"--config {setting!r} should read field=value" for setting, _, equals, _ in split if not equals]
    given = {field: text for _, field, equals, text in split if equals}
    try:
        return load_fields({name: component.config}, defaults={name: given}, elsewhere=elsewhere)[name], wrong
    except ConfigError as error:
        return None, [*wrong, *error.mistakes]


def _wrong_names(
    title: str, kind: str, given: Mapping[str, Any], expected: Mapping[str, type[Artifact]]
) -> list[str]:
    return [
        *(f"{title} has no {kind} {name!r}; it has {', '.join(expected)}" for name in given if name not in expected),
        *(
            f"{title} lacks its {kind} {name!r}: give --{kind} {name}=PATH of {type_.__name__}"
            for name, type_ in expected.items()
            if name not in given
        ),
    ]


def _artifacts(types: Mapping[str, type[Artifact]], paths: Mapping[str, pathlib.Path]) -> dict[str, Artifact]:
    return {name: type_(paths[name]) for name, type_ in types.items()}


def _make_way(path: pathlib.Path, overwrite: bool) -> None:
    if path.is_dir() and any(path.iterdir()):
        if not overwrite:
            raise RunError(f"{path} holds something already; name another folder, or give --overwrite")
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)


def _deliver_verdicts(
    component: Component, written: Mapping[str, Artifact], verdicts: Mapping[str, pathlib.Path]
) -> None:
    for name, artifact in written.items():
        if not isinstance(artifact, Gate):
            continue
        reasons = artifact.reasons()
        if name in verdicts:
            verdicts[name].parent.mkdir(parents=True, exist_ok=True)
            verdicts[name].write_text(CLOSED if reasons else OPEN, encoding="utf-8")
        elif reasons:
            raise GateClosed(component.title, reasons)
