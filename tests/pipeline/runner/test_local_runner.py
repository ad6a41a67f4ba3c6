import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from homefeed.components.artifacts.types import GateClosed
from homefeed.pipeline.config import ConfigError
from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.local_runner import Step
from tests.pipeline.toys.pipeline import run_toy

ALL = ["CountGen", "SumGate", "Doubler"]


@pytest.fixture
def data(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "numbers.txt").write_text("1 2 4")
    return folder


def executed(steps: list[Step]) -> list[str]:
    return [step.component for step in steps if not step.cached]


def result(root: pathlib.Path) -> dict[str, object]:
    """Every artifact file but its place, which holds the cache key."""
    files = list((root / "artifacts").rglob("*.json"))
    return {f"{path.parts[-4]}/{path.parts[-2]}/{path.name}": json.loads(path.read_text()) for path in files}


def test_runs_every_component_in_order_and_passes_artifacts_on(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    steps = run_toy(data, tmp_path / "root")
    assert [(step.component, step.summary) for step in steps] == [
        ("CountGen", "3 numbers"),
        ("SumGate", "total 7"),
        ("Doubler", "doubled"),
    ]
    assert result(tmp_path / "root")["Doubler/doubled/double.json"] == 14


def test_second_run_executes_nothing(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run_toy(data, tmp_path / "root")
    assert executed(run_toy(data, tmp_path / "root")) == []


def test_an_option_reruns_its_component_and_what_depends_on_a_changed_result(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run_toy(data, tmp_path / "root")
    assert executed(run_toy(data, tmp_path / "root", "count_gen.factor=3")) == ALL
    # The gate's evaluation is the same under another limit, so nothing behind it has to be done again.
    assert executed(run_toy(data, tmp_path / "root", "sum_gate.limit=50")) == ["SumGate"]


def test_changed_data_reruns_all(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run_toy(data, tmp_path / "root")
    (data / "numbers.txt").write_text("1 2 5")
    assert executed(run_toy(data, tmp_path / "root")) == ALL


def test_a_deleted_artifact_is_made_again(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    root = tmp_path / "root"
    run_toy(data, root)
    shutil.rmtree(root / "artifacts" / "SumGate")
    assert executed(run_toy(data, root)) == ["SumGate"]
    assert executed(run_toy(data, root)) == []


def test_a_closed_gate_stops_the_run_from_the_cache_too(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for _ in range(2):
        with pytest.raises(GateClosed, match="SumGate: 7 is above 5"):
            run_toy(data, tmp_path / "root", "sum_gate.limit=5")
    assert not (tmp_path / "root" / "artifacts" / "Doubler").exists()


def test_a_failed_component_leaves_nothing_that_a_later_run_uses(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(RuntimeError, match="told to fail"):
        run_toy(data, tmp_path / "root", "sum_gate.fail=true")
    assert not (tmp_path / "root" / "artifacts" / "SumGate").exists()
    assert executed(run_toy(data, tmp_path / "root")) == ["SumGate", "Doubler"]


def test_killed_in_a_component_the_next_run_resumes_and_ends_the_same(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run_toy(data, tmp_path / "undisturbed")
    command = [sys.executable, "-m", "tests.pipeline.toys.kill_in_the_middle", str(data), str(tmp_path / "killed")]
    process = subprocess.run(command, env=os.environ | {"TOY_DIES": "1"}, cwd=pathlib.Path(__file__).parents[3])
    assert process.returncode == -signal.SIGKILL
    assert executed(run_toy(data, tmp_path / "killed")) == ["SumGate", "Doubler"]
    assert result(tmp_path / "killed") == result(tmp_path / "undisturbed")


def test_killed_after_publishing_but_before_recording_the_component_runs_again(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run_toy(data, tmp_path / "root")
    (tmp_path / "root" / "metadata.sqlite").unlink()
    (published,) = (tmp_path / "root" / "artifacts" / "SumGate").iterdir()
    (published / "evaluation" / "metrics.json").write_text("half-writ")
    assert executed(run_toy(data, tmp_path / "root")) == ALL
    assert result(tmp_path / "root")["Doubler/doubled/double.json"] == 14


def test_until_stops_after_the_named_component(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert executed(run_toy(data, tmp_path / "root", until="sum_gate")) == ALL[:2]
    assert executed(run_toy(data, tmp_path / "root", until="SumGate")) == []
    with pytest.raises(ConfigError, match="no component 'sum_gat'; did you mean 'sum_gate'"):
        run_toy(data, tmp_path / "root", until="sum_gat")


def test_two_runs_do_not_share_a_root(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "root").mkdir()
    with (tmp_path / "root" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another run is using"):
            run_toy(data, tmp_path / "root")
