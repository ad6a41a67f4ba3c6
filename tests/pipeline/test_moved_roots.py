"""A root that was moved or copied after its run: a volume, a backup, a cache, trained there and served here."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from homefeed.pipeline.runner.metadata import MetadataStore
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.predictors import GrpcPredictor
from homefeed.serving.process import free_port
from homefeed.serving.recommender import FUSED
from homefeed.serving.releases import Releases
from tests.pipeline.command import homefeed
from tests.pipeline.toys.pipeline import run_toy
from tests.runs import SMALL

SETS = [word for setting in SMALL for word in ("--set", setting)]
Printed = pytest.CaptureFixture[str]


def answer(printed: Printed, *arguments: str) -> dict[str, Any]:
    """What a verb prints as JSON; it must end well."""
    printed.readouterr()
    assert homefeed(*arguments, "--json") == 0, printed.readouterr().err
    found: dict[str, Any] = json.loads(printed.readouterr().out)
    return found


@pytest.fixture(scope="module")
def made(sample_root: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A finished run, which a test may take apart."""
    return pathlib.Path(shutil.copytree(sample_root, tmp_path_factory.mktemp("made") / "root"))


@pytest.fixture(params=["moved", "copied", "by a relative path", "through a link"])
def root(
    request: pytest.FixtureRequest, made: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The root at another place, as a user writes it. Of a copy, the original is still there."""
    place = tmp_path / "another disk 灯" / "the root"
    place.parent.mkdir()
    if request.param == "copied":
        shutil.copytree(made, place)
        yield str(place)
        return
    made.rename(place)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(place)
    yield {"moved": str(place), "by a relative path": "another disk 灯/the root", "through a link": "link"}[
        request.param
    ]
    place.rename(made)


def test_nothing_runs_again_and_every_verb_works(root: str, sample_data: pathlib.Path, capsys: Printed) -> None:
    steps = answer(capsys, "run", "--data", str(sample_data), "--root", root, *SETS)
    assert len(steps) == 13 and all(step["cached"] for step in steps), steps
    place = str(pathlib.Path(root).resolve())
    assert str(answer(capsys, "evaluate", "--root", root)["report"]).startswith(f"{place}/artifacts/Evaluator/")
    assert len(answer(capsys, "recommend", "--root", root, "--user", "user-0001")["recommendations"]) == 10
    traced = answer(capsys, "lineage", "--root", root)
    assert traced["version"] == 1 and traced["summary"]["metrics"]
    again = answer(capsys, "retrain", "--data", str(sample_data), "--root", root, *SETS)
    assert (again["status"], again["version"]) == ("unchanged", 1)
    assert served_from(root) == {1: "AVAILABLE"}
    served = Releases(root + "/serving")._read_config("model.config").model_config_list.config
    assert [entry.base_path for entry in served] == [
        f"{place}/serving/{name}" for name in ("fused", "ranking", "retrieval")
    ]


def served_from(root: str) -> dict[int, str]:
    """Version → state of the model that `homefeed serve` answers with."""
    port = free_port()
    command = [sys.executable, "-c", "from homefeed.pipeline.cli.main import main; main()"]
    server = subprocess.Popen([*command, "serve", "--root", root, "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        client = GrpcPredictor(f"127.0.0.1:{port}").client
        client.wait_until_available(FUSED, timeout_seconds=300)
        return {status.version: status.state for status in client.status(FUSED)}
    finally:
        server.terminate()
        server.wait()


def test_nothing_in_the_root_names_the_place_where_it_was_made(made: pathlib.Path) -> None:
    """But `model.config`, where servers need an absolute path, which `homefeed serve` writes anew."""
    for file in made.rglob("*"):
        if file.is_file() and file.name != "model.config":
            found = file.read_bytes()
            assert b"sample_root" not in found and b"another disk" not in found, file


@pytest.mark.slow
def test_a_moved_root_learns_from_new_data(
    made: pathlib.Path, sample_data: pathlib.Path, tmp_path: pathlib.Path, capsys: Printed
) -> None:
    """From scratch and from the models in service, which lie where the root lies now."""
    root, data = tmp_path / "root", pathlib.Path(shutil.copytree(sample_data, tmp_path / "data"))
    shutil.copytree(made, root)
    lines = (data / "interactions.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (data / "interactions.csv").write_text("".join(lines[:-20]), encoding="utf-8")
    lenient = ["--set", "evaluator.base_margin=1.0", "--set", "evaluator.slice_margin=1.0"]
    outcome = answer(capsys, "retrain", "--data", str(data), "--root", str(root), *SETS, *lenient)
    assert (outcome["status"], outcome["version"]) == ("pushed", 2)
    config = answer(capsys, "lineage", "--root", str(root))["summary"]["config"]
    assert config["Evaluator"]["base_models"].startswith("{root}/artifacts/Pusher/")
    assert config["RetrievalTrainer"]["base_model"].startswith("{root}/artifacts/RetrievalTrainer/")
    moved = root.rename(tmp_path / "moved again")
    outcome = answer(capsys, "retrain", "--data", str(data), "--root", str(moved), *SETS, *lenient)
    assert (outcome["status"], outcome["version"]) == ("unchanged", 2)


def test_a_root_of_an_earlier_release_is_read_where_it_was_made(tmp_path: pathlib.Path) -> None:
    """Earlier, metadata held absolute paths: they hold as long as nothing was moved."""
    old = tmp_path / "old"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "numbers.txt").write_text("1 2 4")
    run_toy(tmp_path / "data", old)
    with_absolute_paths(old)
    evaluation = MetadataStore(RunRoot(old)).latest("ModelEvaluation")
    assert evaluation is not None and evaluation.path.is_dir()
    assert all(step.cached for step in run_toy(tmp_path / "data", old))
    moved = old.rename(tmp_path / "new")
    steps = run_toy(tmp_path / "data", moved)
    assert not any(step.cached for step in steps)


def with_absolute_paths(root: pathlib.Path) -> None:
    """Makes the metadata of a root what an earlier release wrote."""
    import sqlite3

    with sqlite3.connect(root / "metadata.sqlite") as database:
        database.execute(
            "UPDATE Artifact SET uri = ? || uri, name = ? || name WHERE uri LIKE 'artifacts/%'", [f"{root}/"] * 2
        )


def test_an_old_root_that_was_moved_says_so_in_a_line(
    tmp_path: pathlib.Path, made: pathlib.Path, capsys: Printed
) -> None:
    old = pathlib.Path(shutil.copytree(made, tmp_path / "old"))
    with_absolute_paths(old)
    moved = old.rename(tmp_path / "new")
    assert homefeed("evaluate", "--root", str(moved)) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "ModelBlessing is not at" in said and "`homefeed run` makes it again" in said
    assert os.fspath(old) in said
