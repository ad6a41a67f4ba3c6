"""Every script of `examples/` runs as it stands, in a process of its own, and says what it promises."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
COMPONENTS = ("freshness_gate",)  # Beside the scripts, which import them.
PROMISES = {
    "own_component": ["FreshnessGate   the newest event is of 2025-", "stopped: ", "expected 7 at most"],
    "reading_an_experiment": ["day 7: 4,000 readers", "more is better than control", "The truth is +25%."],
    "own_data": ["wrote var/examples/own_data/exports/dataset.yaml", "a stranger", "open var/examples/own_data/page"],
    "own_objective": ["sorted for interactions", "sorted for likes", "sorted for declared"],
}
SLOW = ("own_data", "own_objective")  # They train.


def test_each_has_promises() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*PROMISES, *COMPONENTS}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in PROMISES])
def test_an_example_runs_and_keeps_its_promises(name: str, tmp_path: pathlib.Path) -> None:
    script = EXAMPLES / f"{name}.py"
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert [promise for promise in PROMISES[name] if promise not in done.stdout] == []
    assert all(path.parts[0] == "var" for path in (p.relative_to(tmp_path) for p in tmp_path.iterdir()))
