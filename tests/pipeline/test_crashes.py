"""Killed inside any component, the next run ends as an undisturbed one."""

import json
import pathlib
import signal
import subprocess
import sys

import pytest

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.recommender import recommender
from tests.runs import executed, run_small

HOUSE = pathlib.Path(__file__).parents[2]


def metrics_of(root: pathlib.Path) -> object:
    (file,) = (root / "artifacts" / "Evaluator").glob("*/evaluation/metrics.json")
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_killed_inside_each_component_in_turn_the_result_is_the_same(
    sample_data: pathlib.Path, sample_root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for name in recommender(DatasetDir(sample_data)).names():
        command = [sys.executable, "-m", "tests.pipeline.die_inside", name, str(sample_data), str(tmp_path)]
        process = subprocess.run(command, cwd=HOUSE, capture_output=True)
        assert process.returncode == -signal.SIGKILL, process.stderr.decode()[-2000:]
    steps = run_small(sample_data, tmp_path)
    assert executed(steps) == ["BulkInferrer"], "everything before the last kill was finished and kept"
    assert metrics_of(tmp_path) == metrics_of(sample_root)
    # The killed Pusher had published version 1 already; what it did not record is published again.
    assert sorted(path.name for path in (tmp_path / "serving" / "retrieval").iterdir()) == ["1", "2"]
    assert not (tmp_path / ".staging").exists() or not list((tmp_path / ".staging").iterdir())
