"""docs/experiments.md: its file is checked, its command and its program run as they stand."""

from __future__ import annotations

import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from homefeed.serving.experiments.design import read_experiments
from homefeed.serving.policy.surfaces import Surfaces
from tests import documents
from tests.pipeline.command import homefeed

GUIDE = documents.HOUSE / "docs" / "experiments.md"


def blocks(language: str) -> list[documents.Block]:
    return [block for block in documents.blocks(language) if block.page == GUIDE]


def test_the_files_are_right(tmp_path: pathlib.Path) -> None:
    for block in blocks("yaml"):
        (tmp_path / "experiments.yaml").write_text(block.text)
        read_experiments(tmp_path / "experiments.yaml").require_surfaces(Surfaces(), [])


def test_the_command(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiments.yaml").write_text(blocks("yaml")[0].text)
    monkeypatch.chdir(tmp_path)
    ((line,),) = (documents.commands(block) for block in blocks("sh"))
    assert homefeed(*shlex.split(line)[1:]) == 0
    told = capsys.readouterr().out
    assert re.search(r"more +│ 50.0% +│ diversity", told) and re.search(r"canary +│ 10.0% +│ model: canary", told)


def test_the_program() -> None:
    (program,) = blocks("python")
    command = [sys.executable, "-W", "error", "-c", program.text]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found = re.fullmatch(r"(0\.0\d+) ± (0\.0\d+)\n", shown)
    assert found and float(found[1]) > float(found[2]) and abs(float(found[1]) - 0.02) < float(found[2])
