"""The places of a root: they are what roots on disk hold, so no name here may change."""

import pathlib

import pytest

from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.root import RunRoot

ROOT = RunRoot(pathlib.Path("root"))


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
    assert {name: str(path) for name, path in places.items()} == {name: f"root/{name}" for name in places}
    assert ROOT.defaults() == {"pusher": {"serving_dir": "root/serving"}}


def test_what_is_not_there_yet_says_which_command_makes_it(tmp_path: pathlib.Path) -> None:
    root = RunRoot(tmp_path)
    with pytest.raises(RunError, match=f"{tmp_path} holds no pushed models yet: `homefeed run --root {tmp_path}`"):
        root.pushed()
    with pytest.raises(RunError, match=f"{tmp_path} holds no run yet: `homefeed run --root {tmp_path}`"):
        root.recorded()
    root.serving.mkdir()
    root.metadata.touch()
    assert root.pushed() == root.serving.resolve() and root.recorded() == root.metadata


def test_nothing_else_in_the_house_spells_a_place_out() -> None:
    house = pathlib.Path(__file__).parents[3]
    names = ('"metadata.sqlite"', '"retraining.json"', '"tune.sqlite"', '/ "serving"', '/ "artifacts"', '".staging"')
    sources = [
        path for room in ("pipeline", "benchmarks", "components", "serving") for path in (house / room).rglob("*.py")
    ]
    found = [
        f"{path.relative_to(house)}: {name}"
        for path in sources
        if path.name != "root.py"
        for name in names
        if name in path.read_text(encoding="utf-8")
    ]
    assert not found
