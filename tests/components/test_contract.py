import pathlib
import sys
import types
from collections.abc import Iterator

import pytest

from homefeed.components import contract, example_gen, fuser, ranking_trainer
from homefeed.components.artifacts.types import Examples, Model, PushedModel, Quarantine

SOURCES = {
    "__init__.py": "",
    "a.py": "import os, numpy\nfrom mine.inner import b, VALUE\n",
    "inner/__init__.py": "VALUE = 1\n",
    "inner/b.py": "def f():\n    import mine.inner.deep.c\n    from mine.d import g\n    from nowhere import x\n",
    "inner/deep/__init__.py": "",
    "inner/deep/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mine import e\n",
    "d.py": "from mine.inner.b import f\n",  # A circle ends somewhere.
    "e.py": "",
    "lonely.py": "",
}


@pytest.fixture
def mine(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """A package `mine` that the contract takes for ours."""
    for name, source in SOURCES.items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(contract, "OURS", ("mine",))
    _forget()
    yield tmp_path / "mine"
    _forget()
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


def _forget() -> None:
    for cached in (contract._imports, contract._is_module, contract.source_file):
        cached.cache_clear()


def test_a_component_knows_its_name_and_its_artifacts() -> None:
    seen = contract.component(ranking_trainer)
    assert (seen.name, seen.title) == ("ranking_trainer", "RankingTrainer")
    assert contract.load("homefeed.components.example_gen").output_types == {
        "interactions": Examples,
        "items": Examples,
        "users": Examples,
        "exposures": Examples,
        "relations": Examples,
        "quarantine": Quarantine,
    }
    assert contract.component(fuser).input_types == {"retrieval_model": Model, "ranking_model": Model}
    assert contract.component(example_gen).config() == example_gen.Config()


def test_what_a_config_names_is_an_input_where_the_component_says_so(tmp_path: pathlib.Path) -> None:
    evaluator = contract.load("homefeed.components.evaluator")
    named = evaluator.config_inputs(evaluator.config(base_models=str(tmp_path)))
    assert named == {"base_models": PushedModel(tmp_path)}
    assert contract.component(fuser).config_inputs(fuser.Config()) == {}


def test_what_lacks_a_part_is_no_component() -> None:
    incomplete = types.ModuleType("half")
    incomplete.Config = incomplete.run = object  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"^half is no component: it lacks Inputs, Outputs$"):
        contract.component(incomplete)
    with pytest.raises(ModuleNotFoundError):
        contract.load("homefeed.components.nowhere")


def test_a_closure_is_what_is_imported_at_any_depth_anywhere(mine: pathlib.Path) -> None:
    everything = {"mine", "mine.a", "mine.inner", "mine.inner.b", "mine.inner.deep", "mine.inner.deep.c", "mine.d"}
    assert contract.closure("mine.a") == everything | {"mine.e"}
    assert contract.closure("mine.e") == {"mine.e"} and contract.closure("mine.lonely") == {"mine.lonely"}


def test_sources_lie_where_the_package_is(mine: pathlib.Path) -> None:
    assert contract.source_file("mine.inner.b") == mine / "inner" / "b.py"
    assert contract.source_file("mine.inner") == mine / "inner" / "__init__.py"
    assert contract.source_file("mine") == mine / "__init__.py"


def version(module: types.ModuleType) -> str:
    _forget()
    nothing = object
    return contract.Component("x", nothing, nothing, nothing, print, module).code_version


@pytest.mark.parametrize(
    ("file", "changes"),
    [("a.py", True), ("inner/__init__.py", True), ("inner/deep/c.py", True), ("e.py", True), ("lonely.py", False)],
)
def test_a_version_is_of_the_sources_that_take_part(mine: pathlib.Path, file: str, changes: bool) -> None:
    module = types.ModuleType("mine.a")
    before = version(module)
    assert version(module) == before
    with (mine / file).open("a") as source:
        source.write("# changed\n")
    assert (version(module) != before) is changes


def test_the_code_of_a_component_is_in_its_version_and_no_other_components() -> None:
    files = contract.closure("homefeed.components.ranking_trainer")
    assert {"homefeed.components.ranking_trainer.component", "homefeed.components.ranking_trainer.train"} <= files
    assert "homefeed.components.artifacts.transformed" in files and "homefeed.models.sequences" in files
    assert not [name for name in files if name.startswith(("homefeed.pipeline", "homefeed.components.evaluator"))]
