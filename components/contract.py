"""The contract of a component, and the version of its code."""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import pathlib
import typing
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from homefeed.components.artifacts.types import Artifact

OURS = ("homefeed", "homefeed_client")


@dataclasses.dataclass(frozen=True)
class Component:
    """A component module, seen through its contract.

    Attributes:
        name: its name in configurations, the module's own (`example_gen`).
        inputs: dataclass of Artifacts.
        outputs: dataclass of Artifacts.
        config: dataclass of plain values; every field has a default.
        run: `(inputs, outputs, config) -> str`, the line that the progress display shows.
    """

    name: str
    inputs: type[Any]
    outputs: type[Any]
    config: type[Any]
    run: Callable[[Any, Any, Any], str]
    module: ModuleType

    @property
    def title(self) -> str:
        """Its name for people and in ML Metadata (`ExampleGen`)."""
        return "".join(part.capitalize() for part in self.name.split("_"))

    @property
    def input_types(self) -> dict[str, type[Artifact]]:
        """Input name → artifact type."""
        return _artifact_fields(self.inputs)

    @property
    def output_types(self) -> dict[str, type[Artifact]]:
        """Output name → artifact type."""
        return _artifact_fields(self.outputs)

    def config_inputs(self, config: Any) -> dict[str, Artifact]:
        """What a Config names outside the pipeline, by input name: as much an input as what is wired."""
        named = getattr(self.module, "config_inputs", None)
        return named(config) if named else {}

    def is_helper(self, config: Any) -> bool:
        """Whether several processes run the component together, and another one of them writes the outputs."""
        asked = getattr(self.module, "is_helper", None)
        return bool(asked and asked(config))

    @property
    def code_version(self) -> str:
        """Hex digest of the component's source and of every module of ours that it imports, at any depth."""
        total = hashlib.blake2b(digest_size=16)
        for module in sorted(closure(self.module.__name__)):
            total.update(module.encode() + b"\0" + source_file(module).read_bytes())
        return total.hexdigest()


def component(module: ModuleType) -> Component:
    """Sees a module as a component.

    Raises:
        TypeError: the module lacks a part of the contract.
    """
    missing = [part for part in ("Inputs", "Outputs", "Config", "run") if not hasattr(module, part)]
    if missing:
        raise TypeError(f"{module.__name__} is no component: it lacks {', '.join(missing)}")
    name = module.__name__.rpartition(".")[2]
    return Component(name, module.Inputs, module.Outputs, module.Config, module.run, module)


def load(module: str) -> Component:
    """The component in a module (`homefeed.components.example_gen`)."""
    return component(importlib.import_module(module))


def _artifact_fields(cls: type[Any]) -> dict[str, type[Artifact]]:
    return typing.get_type_hints(cls)


def closure(module: str) -> set[str]:
    """The module and all of our modules that it imports, directly or not, at the top or inside a function."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting.extend(_imports(current))
    return seen


@functools.cache
def _imports(module: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_walk_imports(ast.parse(source_file(module).read_text(encoding="utf-8")))))


def _walk_imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            # `from homefeed.models import text` names a module, `from homefeed.models.text import f` one's attribute.
            if name.partition(".")[0] in OURS and _is_module(name):
                yield from _with_packages(name)


def _with_packages(module: str) -> Iterator[str]:
    """The module and the packages around it, which are imported with it; not the door, `homefeed` itself."""
    parts = module.split(".")
    yield from (".".join(parts[:length]) for length in range(2 if len(parts) > 1 else 1, len(parts) + 1))


@functools.cache
def _is_module(name: str) -> bool:
    parent, _, leaf = name.rpartition(".")
    if not parent:
        return True
    if not _is_module(parent) or source_file(parent).name != "__init__.py":
        return False
    folder = source_file(parent).parent
    return (folder / f"{leaf}.py").is_file() or (folder / leaf / "__init__.py").is_file()


@functools.cache
def source_file(module: str) -> pathlib.Path:
    """Where the source of a module of ours lies, or of a component that is a file by itself."""
    root, *parts = module.split(".")
    spec = importlib.util.find_spec(root)
    assert spec is not None and spec.origin is not None, module
    if not parts:
        return pathlib.Path(spec.origin)
    path = pathlib.Path(spec.origin).parent.joinpath(*parts)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
