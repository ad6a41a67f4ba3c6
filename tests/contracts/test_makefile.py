"""The Makefile: what it refuses leaves nothing behind, places may have spaces, and it asks its own server."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import httpx
import pytest

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.config import load_config
from homefeed.pipeline.recommender import recommender
from tests.documents import HOUSE, read
from tests.serving.servers import eventually, free_port

NEEDED = ("Makefile", "setup.py", "constraints.txt", "serving/client/pyproject.toml", "docs/quick.yaml")


@pytest.fixture
def checkout(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "a checkout"
    for name in NEEDED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HOUSE / name, folder / name)
    return folder


def make(folder: pathlib.Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "--no-print-directory", *words], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("version", ["Python 3.12.1", None])
def test_another_python_is_refused_and_leaves_no_environment(
    version: str | None, checkout: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    python = tmp_path / "python3.12"
    if version:
        python.write_text(f'#!/bin/sh\ntest "$1" = -V && echo "{version}" || exit 1\n')
        python.chmod(0o755)
    ended = make(checkout, "run", f"PYTHON={python}")
    assert ended.returncode == 2 and not (checkout / ".venv").exists() and not (checkout / "var").exists()
    assert f"homefeed needs Python 3.11 (TFDV has no wheels for others); {python} is {version or 'missing'}." in (
        ended.stdout
    )


def test_folders_with_spaces_stay_one_word(checkout: pathlib.Path, tmp_path: pathlib.Path) -> None:
    data = tmp_path / "my data"
    data.mkdir()
    (data / "dataset.yaml").touch()
    ready(checkout)
    shown = make(checkout, "--dry-run", "run", f"DATA={data}").stdout
    assert f'--data "{data}" --root "var/my data/root"' in shown and "homefeed data " not in shown


@pytest.mark.parametrize(
    ("engines", "extras", "named"),
    [("prism", "dev", "prism"), ("dask", "dev,dask", "dask"), ("spark prism", "dev,spark", "spark or prism")],
)
def test_engines_are_installed_and_tried_by_their_names(
    engines: str, extras: str, named: str, checkout: pathlib.Path
) -> None:
    shown = make(checkout, "--dry-run", "test-engines", f"ENGINES={engines}").stdout
    assert f"-e '.[{extras}]'\n" in shown and f'-k "{named}" tests/engines' in shown


def test_quick_makes_a_small_store_and_small_models(checkout: pathlib.Path) -> None:
    ready(checkout)
    shown = make(checkout, "--dry-run", "run", "QUICK=1").stdout
    assert "homefeed data sample --out var/quick/data/ --users 200" in shown
    assert '--data "var/quick/data" --root "var/quick/root" --config docs/quick.yaml' in shown
    assert "make run QUICK=1" in "\n".join(read(HOUSE / "README.md").splitlines()[:20])  # In its first lines.


def test_the_server_that_is_asked_is_the_one_that_was_started(checkout: pathlib.Path) -> None:
    """On a port that was free a moment ago, whatever listens on the usual one."""
    ready(checkout)
    shown = make(checkout, "--dry-run", "run", "DATA=sample", "PORT=8500").stdout
    assert "--port $port" in shown and "--server 127.0.0.1:$port" in shown and "8500" not in shown


def test_serve_keeps_models_and_page_until_it_is_ended(
    checkout: pathlib.Path, counted_root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    ready(checkout)
    (checkout / ".venv" / "bin").symlink_to(pathlib.Path(sys.executable).parent)
    root = shutil.copytree(counted_root, tmp_path / "my root")
    ports = free_port(), free_port()
    words = ("make", "serve", f"ROOT={root}", f"PORT={ports[0]}", f"PAGE_PORT={ports[1]}")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=checkout, env=environment, stdout=log, stderr=log)
    try:
        eventually(lambda: served_by(ports[1]) == "fused", 60)
    finally:
        process.terminate()
        process.wait(60)
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()


def served_by(port: int) -> str:
    with contextlib.suppress(httpx.TransportError):
        return str(httpx.get(f"http://127.0.0.1:{port}/v1/page").json()["served_by"])
    return "nothing"


def test_make_alone_prints_help(checkout: pathlib.Path) -> None:
    shown = make(checkout).stdout
    assert "make run" in shown and "QUICK=1" in shown and not (checkout / ".venv").exists()


def ready(checkout: pathlib.Path) -> None:
    """As after the installation."""
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / ".ready").touch()


def test_the_quick_settings_are_settings(sample_data: pathlib.Path) -> None:
    quick = load_config(recommender(DatasetDir(sample_data)), HOUSE / "docs" / "quick.yaml")
    usual = load_config(recommender(DatasetDir(sample_data)))
    assert quick["ranking_trainer"].epochs < usual["ranking_trainer"].epochs
    assert quick["behavior_pretrainer"].head_steps < usual["behavior_pretrainer"].head_steps
