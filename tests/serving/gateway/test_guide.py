"""The examples of docs/home_page.md, run as they stand."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests import documents
from tests.serving.gateway.toy import Gateway

GUIDE = documents.HOUSE / "docs" / "home_page.md"
CURL = [block for block in documents.blocks("sh") if block.page == GUIDE and "curl" in block.text]
PYTHON = [block for block in documents.blocks("python") if block.page == GUIDE]


def run(block: documents.Block, home: Gateway, *command: str) -> str:
    text = block.text.replace("127.0.0.1:8080", f"127.0.0.1:{home.port}")
    return subprocess.run([*command, text], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("block", CURL, ids=str)
def test_curl(block: documents.Block, home: Gateway) -> None:
    if not shutil.which("curl"):
        pytest.skip("no curl on PATH")
    shown = run(block, home, "bash", "-ec")
    answers = [json.loads(line) for line in shown.replace("}{", "}\n{").splitlines()]
    assert len(answers) == block.text.count("curl ")
    for answer in answers:
        assert answer.get("rows") or [event["status"] for event in answer["events"]] == ["accepted"], answer


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python(block: documents.Block, home: Gateway) -> None:
    shown = run(block, home, sys.executable, "-W", "error", "-c")
    assert shown.startswith("for_you ['Title of i")
