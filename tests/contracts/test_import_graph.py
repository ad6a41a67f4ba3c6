"""The shape of the house: files import one way, are short, and keep their private parts to themselves."""

from __future__ import annotations

import doctest
import itertools
import pathlib

import pytest

from tests.contracts import import_graph as graphs

HIGHEST, HIGH, MAX_HIGH = 400, 300, 8  # Lines of a file, and how many files may have more than HIGH.
MAX_DEFERRED = 54  # Statements inside functions that import modules of ours.
MAY_IMPORT = {
    "client": set(),
    "schemas": set(),
    "models": {"schemas"},
    "serving": {"client", "schemas", "models"},
    "components": {"schemas", "models", "serving"},
    "pipeline": {"schemas", "models", "serving", "components"},
}


@pytest.fixture(scope="module")
def graph() -> dict[str, list[graphs.Import]]:
    return graphs.import_graph()


@pytest.fixture(scope="module")
def lines(graph: dict[str, list[graphs.Import]]) -> dict[str, int]:
    return {file: len((graphs.HOUSE / file).read_text(encoding="utf-8").splitlines()) for file in graph}


def test_no_files_import_each_other_in_a_circle(graph: dict[str, list[graphs.Import]]) -> None:
    circle = graphs.find_circle(graphs.arrows(graph))
    assert not circle, "a circle of files: " + " → ".join(circle)


def test_rooms_import_only_those_below(graph: dict[str, list[graphs.Import]]) -> None:
    wrong = [
        f"{file} imports {target}"
        for file, targets in graphs.arrows(graph).items()
        for target in targets
        if graphs.room_of(target) not in MAY_IMPORT[graphs.room_of(file)] | {graphs.room_of(file)}
    ]
    assert not wrong


def test_no_file_is_long(lines: dict[str, int]) -> None:
    assert {file: count for file, count in lines.items() if count > HIGHEST} == {}


def test_few_files_are_middling(lines: dict[str, int]) -> None:
    middling = {file: count for file, count in lines.items() if count > HIGH}
    assert len(middling) <= MAX_HIGH, f"over {HIGH} lines: {middling}"


def test_few_imports_are_deferred(graph: dict[str, list[graphs.Import]]) -> None:
    deferred = {file: count for file, found in graph.items() if (count := sum(one.deferred for one in found))}
    total = sum(deferred.values())
    assert total <= MAX_DEFERRED, f"{total} imports inside functions: {deferred}"


def test_private_files_are_imported_from_their_own_folder(graph: dict[str, list[graphs.Import]]) -> None:
    wrong = {
        (file, target)
        for file, targets in graphs.arrows(graph).items()
        for target in targets
        if (folder := graphs.is_private_to(target)) is not None and not file.startswith(f"{folder}/")
    }
    assert not wrong


# --- The graph itself ---

TOY = {
    "schemas/__init__.py": "",
    "schemas/spans.py": "import re\n",
    "schemas/_words.py": "",
    "models/__init__.py": "import homefeed.schemas.spans\n",
    "models/a.py": "from homefeed.models import b\n",
    "models/b.py": "def f():\n    from homefeed.models.c import g, h\n    return lambda: g\n",
    "models/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from homefeed.models.a import A\n",
    "models/inner/__init__.py": "from ..a import A\n",
    "models/inner/d.py": "from . import _e\nfrom .. import b\nfrom homefeed.models import VERSION\n",
    "models/inner/_e.py": "from homefeed.schemas import _words\nclass C:\n    from homefeed.schemas import spans\n",
    "serving/client/homefeed_client/__init__.py": "from homefeed_client.client import ask\n",
    "serving/client/homefeed_client/client.py": "import homefeed_clients, homefeed.elsewhere\n",
}
ARROWS = {
    "models/__init__.py": {"schemas/spans.py"},
    "models/a.py": {"models/b.py"},
    "models/b.py": {"models/c.py"},
    "models/c.py": {"models/a.py"},
    "models/inner/__init__.py": {"models/a.py"},
    "models/inner/d.py": {"models/inner/_e.py", "models/b.py", "models/__init__.py"},
    "models/inner/_e.py": {"schemas/_words.py", "schemas/spans.py"},
    "serving/client/homefeed_client/__init__.py": {"serving/client/homefeed_client/client.py"},
}


@pytest.fixture
def toy(tmp_path: pathlib.Path) -> dict[str, list[graphs.Import]]:
    for name, source in TOY.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    return graphs.import_graph(tmp_path)


def test_an_arrow_leads_to_the_file_that_is_named(toy: dict[str, list[graphs.Import]]) -> None:
    assert {file: targets for file, targets in graphs.arrows(toy).items() if targets} == ARROWS
    assert graphs.arrows(toy).keys() == TOY.keys()


def test_a_circle_is_found_through_deferred_and_type_only_imports(toy: dict[str, list[graphs.Import]]) -> None:
    circle = graphs.find_circle(graphs.arrows(toy))
    assert circle[0] == circle[-1] and set(circle) == {"models/a.py", "models/b.py", "models/c.py"}
    assert all(after in ARROWS[before] for before, after in itertools.pairwise(circle))
    assert graphs.find_circle({"a": {"b", "c"}, "b": {"c"}}) == []
    assert graphs.find_circle({"a": {"a"}}) == ["a", "a"]


def test_deferred_is_what_stands_inside_a_function(toy: dict[str, list[graphs.Import]]) -> None:
    assert {file for file, found in toy.items() if any(one.deferred for one in found)} == {"models/b.py"}


def test_the_graph_is_of_all_files_that_there_are(graph: dict[str, list[graphs.Import]]) -> None:
    assert {"serving/client/homefeed_client/__init__.py", "pipeline/recommender.py", "schemas/dataset.py"} <= set(
        graph
    )
    arrows = graphs.arrows(graph)
    assert "components/evaluator/__init__.py" in arrows["pipeline/recommender.py"]
    assert "components/example_gen/beam.py" in arrows["components/example_gen/component.py"]
    assert doctest.testmod(graphs).failed == 0
