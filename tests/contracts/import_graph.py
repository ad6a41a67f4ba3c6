"""The graph of our files: which imports which, at the top, inside functions and for types alone."""

from __future__ import annotations

import ast
import dataclasses
import graphlib
import pathlib
from collections.abc import Iterator, Mapping

HOUSE = pathlib.Path(__file__).parents[2]
ROOMS = ("schemas", "models", "serving", "components", "pipeline")
CLIENT = pathlib.PurePath("serving/client")  # Has an import name of its own, `homefeed_client`.
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclasses.dataclass(frozen=True)
class Import:
    """One import statement that names modules of ours."""

    targets: tuple[str, ...]  # Files.
    deferred: bool  # Inside a function.


def module_name(file: pathlib.PurePath) -> str:
    """The name by which a file is imported.

    >>> module_name(pathlib.PurePath("components/drift/__init__.py"))
    'homefeed.components.drift'
    >>> module_name(pathlib.PurePath("serving/client/homefeed_client/client.py"))
    'homefeed_client.client'
    """
    inside = file.relative_to(CLIENT) if file.is_relative_to(CLIENT) else "homefeed" / file
    parts = inside.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph(house: pathlib.Path = HOUSE) -> dict[str, list[Import]]:
    """File → its imports of our own modules, of every file in the rooms and the client."""
    paths = sorted(path.relative_to(house) for room in ROOMS for path in (house / room).rglob("*.py"))
    files = {module_name(path): path.as_posix() for path in paths}
    return {
        file: list(read_imports((house / file).read_text(encoding="utf-8"), module, files))
        for module, file in files.items()
    }


def read_imports(source: str, module: str, files: Mapping[str, str]) -> Iterator[Import]:
    """The imports of our own modules in a file.

    Args:
        source: of the file.
        module: its name, which relative imports start from.
        files: module → file, of all that is ours.
    """
    package = module if files[module].endswith("__init__.py") else module.rpartition(".")[0]
    for node, deferred in _import_nodes(ast.parse(source)):
        named = (_nearest(name, files) for name in _names(node, package))
        if targets := tuple(dict.fromkeys(files[name] for name in named if name)):
            yield Import(targets, deferred)


def _import_nodes(node: ast.AST, deferred: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, deferred
        yield from _import_nodes(child, deferred or isinstance(child, FUNCTIONS))


def _names(node: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    """What a statement names, modules or what is in them."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
    base = ".".join([*above, *([node.module] if node.module else [])])
    return [f"{base}.{alias.name}" for alias in node.names]


def _nearest(name: str, files: Mapping[str, str]) -> str | None:
    """The module itself, or the one that holds what is named."""
    return next((known for known in (name, name.rpartition(".")[0]) if known in files), None)


def arrows(graph: Mapping[str, list[Import]]) -> dict[str, set[str]]:
    """File → the files that it imports."""
    return {file: {target for one in found for target in one.targets} for file, found in graph.items()}


def find_circle(arrows: Mapping[str, set[str]]) -> list[str]:
    """Files each of which imports the next, the first one again at the end; empty if there is no circle."""
    try:
        graphlib.TopologicalSorter(arrows).prepare()
    except graphlib.CycleError as error:
        circle: list[str] = error.args[1]
        return circle[::-1]  # Each of the sorter's is imported by the next.
    return []


def room_of(file: str) -> str:
    """The room that a file is in; the client is one by itself."""
    return "client" if pathlib.PurePath(file).is_relative_to(CLIENT) else file.partition("/")[0]


def is_private_to(file: str) -> str | None:
    """The folder outside of which nobody may import a file, because of an underscore in its name; None: anybody may.

    >>> is_private_to("models/ranking/_loss.py")
    'models/ranking'
    >>> is_private_to("models/_shared/loss.py")
    'models'
    >>> is_private_to("models/ranking/__init__.py")
    """
    parts = pathlib.PurePath(file).parts
    private = (place for place, part in enumerate(parts) if part.startswith("_") and part != "__init__.py")
    place = next(private, None)
    return None if place is None else "/".join(parts[:place])
