"""The places of a root: they are what roots on disk hold, so no name here may change."""

import pathlib

import pytest

from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.root import RunRoot

ROOT = RunRoot(pathlib.Path("/nowhere/root"))


def test_places() -> None:
    places = {
        "serving": ROOT.serving,
        "serving/profiles.sqlite": ROOT.profiles,
        "metadata.sqlite": ROOT.metadata,
        "artifacts": ROOT.artifacts,
        ".staging": ROOT.staging,
        ".lock": ROOT.lock,
        ".retrain.lock": ROOT.retraining_lock,
        "retraining.json": ROOT.ledger,
        "tune.sqlite": ROOT.studies,
        "spans/2025-01-08.drift.html": ROOT.drift_page("2025-01-08"),
    }
    assert {name: str(path) for name, path in places.items()} == {name: f"/nowhere/root/{name}" for name in places}
    assert ROOT.defaults() == {"pusher": {"serving_dir": "/nowhere/root/serving"}}


def test_paths_in_the_root_are_those_of_the_place_where_it_lies_now(tmp_path: pathlib.Path) -> None:
    old, new = RunRoot(tmp_path / 'an "old" root 灯'), RunRoot(tmp_path / "new")
    value = {
        "inside": f"{old.path}/serving",
        "several": [f"{old.path}/a b", 3, None],
        "beside": f"{old.path}-2/serving",
        "said": f"no file at {old.path}/x",
    }
    portable = old.portable(value)
    assert portable == value | {"inside": "{root}/serving", "several": ["{root}/a b", 3, None]}
    assert old.placed(portable) == value
    assert new.placed(portable)["inside"] == f"{new.path}/serving"


def test_a_root_is_absolute_and_without_links(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert RunRoot(pathlib.Path("link")).path == (tmp_path / "real").resolve()


def test_what_is_not_there_yet_says_which_command_makes_it(tmp_path: pathlib.Path) -> None:
    root = RunRoot(tmp_path)
    with pytest.raises(RunError, match=f"{tmp_path} holds no pushed models yet: `homefeed run --root {tmp_path}`"):
        root.pushed()
    with pytest.raises(RunError, match=f"{tmp_path} holds no run yet: `homefeed run --root {tmp_path}`"):
        root.recorded()
    root.serving.mkdir()
    root.metadata.touch()
    assert root.pushed() == root.serving.resolve() and root.recorded() is root


def test_nothing_else_in_the_house_spells_a_place_out() -> None:
    house = pathlib.Path(__file__).parents[3]
    names = ('"metadata.sqlite"', '"retraining.json"', '"tune.sqlite"', '/ "serving"', '/ "artifacts"', '".staging"')
    sources = [
        path for room in ("pipeline", "benchmarks", "components", "serving") for path in (house / room).rglob("*.py")
    ]
    found = [
        f"{path.relative_to(house)}: {name}"
        for path in sources
        if path.name not in ("root.py", "types.py")  # An artifact knows where in a root it lies.
        for name in names
        if name in path.read_text(encoding="utf-8")
    ]
    assert not found
