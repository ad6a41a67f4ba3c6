"""What the rooms import of others; `test_import_graph` has what they import of each other."""

import ast
import pathlib
from collections.abc import Iterator

import pytest

HOUSE = pathlib.Path(__file__).parents[2]
ROOMS = ("schemas", "models", "serving", "components", "pipeline", "serving/client/homefeed_client")


def _room(name: str) -> str:
    parts = name.split(".")
    return parts[1] if parts[0] == "homefeed" and len(parts) > 1 else parts[0]


def imports(room: str) -> Iterator[tuple[str, str]]:
    for path in (HOUSE / room).rglob("*.py"):
        name = path.relative_to(HOUSE).as_posix()
        if room == "serving" and name.startswith("serving/client/"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [f"homefeed.{a.name}" for a in node.names] if node.module == "homefeed" else [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            yield from ((name, _room(module)) for module in names)


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_imports_tests_or_benchmarks(room: str) -> None:
    wrong = [f"{file} imports {top}" for file, top in imports(room) if top in ("tests", "benchmarks")]
    assert not wrong


@pytest.mark.parametrize("room", [*ROOMS, "tests", "benchmarks"])
def test_rooms_are_imported_below_homefeed(room: str) -> None:
    rooms = {"schemas", "models", "serving", "components", "pipeline"}
    bare = [
        f"{path.relative_to(HOUSE)}:{node.lineno}"
        for path in (HOUSE / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in rooms)
        or (isinstance(node, ast.Import) and rooms & {alias.name.partition(".")[0] for alias in node.names})
    ]
    assert not bare


def test_the_client_needs_no_tensorflow() -> None:
    tops = {top for _, top in imports("serving/client/homefeed_client")}
    assert tops.isdisjoint({"tensorflow", "tensorflow_serving", "keras", "pandas"})
