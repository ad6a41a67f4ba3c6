"""What people see while a run is at work."""

import re
import time

import pytest
import rich.console

from homefeed.models.shared import progress
from homefeed.pipeline.cli import terminal
from homefeed.pipeline.runner.local_runner import Step


def test_where_there_is_no_terminal_a_line_comes_from_time_to_time(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal._a_line_a_minute("6/13 RetrievalTrainer", seconds=0.05):
        time.sleep(0.12)
        progress.report(5, 20, "training loss 5.1234")
        for _ in progress.through("ab", steps=4, epoch=5, total=20):  # Half of the next epoch; the loss stays.
            pass
        time.sleep(0.12)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "… 6/13 RetrievalTrainer: 0:00 so far"
    told = r"… 6/13 RetrievalTrainer: epoch 5\.5 of 20, training loss 5.1234, 0:00 so far, at most 0:0\d left"
    assert re.fullmatch(told, lines[-1])
    progress.report(6, 20)  # Nobody listens any more.


def test_a_component_that_has_finished_says_what_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.progress("8/13 RankingTrainer") as finished:
        finished(Step("RankingTrainer", False, 12.34, "3 epochs", {}, 20.0, 1234.5))
    with terminal.progress("9/13 Fuser") as finished:
        finished(Step("Fuser", True, 0.0, ""))
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"✓ 8/13 RankingTrainer +12\.3 s +20\.0 CPU s +1,23[45] MiB  3 epochs", first)
    assert second.split() == ["✓", "9/13", "Fuser", "cached"]


def test_a_terminal_shows_a_moving_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(terminal, "console", rich.console.Console(force_terminal=True, width=120))
    with terminal.progress("6/13 RetrievalTrainer"):
        progress.report(3, 4, "training loss 2.0000")
        time.sleep(0.3)
    assert "6/13 RetrievalTrainer: epoch 3 of 4, training loss 2.0000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("so_far", "done", "total", "told"),
    [
        (90, 3, 20, "at most 8:30 left"),
        (3600, 1, 3, "at most 2:00:00 left"),
        (5, 0, 9, ""),
        (7, 4, 4, "at most 0:00 left"),
    ],
)
def test_time_left(so_far: float, done: int, total: int, told: str) -> None:
    """90 s for 3 passes are 30 a pass; 17 more take 510 s, which are 8:30."""
    assert terminal.time_left(so_far, done, total) == told
