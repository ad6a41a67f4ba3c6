"""Killed inside any component, the next run ends as an undisturbed one."""

import pathlib
import signal
import subprocess
import sys

import pytest

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.recommender import recommender
from tests.counting import count_instead_of_training
from tests.runs import executed, metrics_of, run_small

HOUSE = pathlib.Path(__file__).parents[2]


def die_inside(name: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "tests.pipeline.die_inside", name, *arguments]
    process = subprocess.run(command, cwd=HOUSE, capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()[-2000:]


def test_killed_while_it_transforms_and_while_it_pushes_the_result_is_the_same(
    sample_data: pathlib.Path, counted_root: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("transform", "pusher"):
        die_inside(name, str(sample_data), str(tmp_path), "counting")
    assert not list((tmp_path / "artifacts").glob("Pusher/*")), "what is half-written is no artifact"
    count_instead_of_training(monkeypatch)
    assert executed(run_small(sample_data, tmp_path)) == ["Pusher", "BulkInferrer"]
    assert metrics_of(tmp_path) == metrics_of(counted_root)
    # The killed Pusher had published version 1 already; what it did not record is published again.
    assert sorted(path.name for path in (tmp_path / "serving" / "fused").iterdir()) == ["1", "2"]
    assert not [path for path in (tmp_path / ".staging").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_killed_inside_each_component_in_turn_the_result_is_the_same(
    sample_data: pathlib.Path, sample_root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for name in recommender(DatasetDir(sample_data)).names():
        die_inside(name, str(sample_data), str(tmp_path))
    steps = run_small(sample_data, tmp_path)
    assert executed(steps) == ["BulkInferrer"], "everything before the last kill was finished and kept"
    assert metrics_of(tmp_path) == metrics_of(sample_root)
    # The killed Pusher had published version 1 already; what it did not record is published again.
    assert sorted(path.name for path in (tmp_path / "serving" / "retrieval").iterdir()) == ["1", "2"]
    assert not [path for path in (tmp_path / ".staging").rglob("*") if path.is_file()]
