"""`homefeed serve` and `homefeed models` as processes, with the engine that is found on PATH."""

import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator

import homefeed_client
import pytest

from homefeed.serving import process
from homefeed.serving.releases import Releases
from tests.serving.servers import eventually

HOMEFEED = [sys.executable, "-c", "from homefeed.pipeline.cli.main import main; main()"]


def homefeed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*HOMEFEED, *arguments], capture_output=True, text=True)


@pytest.fixture(scope="module")
def root(toy_models: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("root")
    for _ in range(2):
        Releases(root / "serving").push({name: path / "Format-Serving" for name, path in toy_models.items()})
    return root


@pytest.fixture(scope="module")
def path_with_engine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with `tensorflow_model_server`: the real one where it is, else our server under its name."""
    path = os.environ["PATH"]
    if shutil.which(process.TENSORFLOW_SERVING):
        return path
    binary = tmp_path_factory.mktemp("bin") / process.TENSORFLOW_SERVING
    binary.write_text(f'#!/bin/sh\nexec {sys.executable} -m homefeed.serving.model_server --host=127.0.0.1 "$@"\n')
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    return f"{binary.parent}:{path}"


@pytest.fixture(scope="module", params=["homefeed", "tensorflow-serving"])
def client(
    request: pytest.FixtureRequest, root: pathlib.Path, path_with_engine: str
) -> Iterator[homefeed_client.PredictionClient]:
    port = process.free_port()
    command = [*HOMEFEED, "serve", "--root", str(root), "--port", str(port), "--engine", request.param]
    environment = {**os.environ, "PATH": path_with_engine}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with homefeed_client.PredictionClient(f"127.0.0.1:{port}", timeout_seconds=20) as client:
            client.wait_until_available("fused")
            yield client
    finally:
        server.terminate()
        assert server.wait(60) in (0, -15)


def test_a_rollback_and_a_promotion_reach_a_running_server(
    client: homefeed_client.PredictionClient, root: pathlib.Path
) -> None:
    def version(label: str | None = None) -> int:
        inputs = {"history": [["i1"]], "k": [2]}
        return client.predict("fused", inputs, signature="recommend", label=label).model_version

    assert version() == version("stable") == 2
    done = homefeed("models", "rollback", "--root", str(root), "--json")
    assert json.loads(done.stdout) == {"stable": 1}, done.stderr
    eventually(lambda: version() == version("stable") == 1)
    listed = json.loads(homefeed("models", "list", "--root", str(root), "--json").stdout)
    assert [(row["version"], row["state"]) for row in listed] == [(2, "retired"), (1, "stable")]
    assert listed[0]["models"] == ["fused", "ranking", "retrieval"]
    assert json.loads(homefeed("models", "promote", "2", "--root", str(root), "--json").stdout) == {"stable": 2}
    eventually(lambda: version() == 2)
    eventually(lambda: version("stable") == 2)


@pytest.mark.parametrize("proxy", ["", "http://127.0.0.1:9"])
def test_recommend_asks_the_fused_model(
    client: homefeed_client.PredictionClient, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    shown = homefeed("recommend", "--server", client.target, "--user", "u", "--history", "i1,i2", "-k", "3", "--json")
    places = json.loads(shown.stdout)["recommendations"]
    assert len(places) == 3 and not {"i1", "i2"} & {place["item_id"] for place in places}


def test_without_the_binary_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(process.ServerError, match="`tensorflow_model_server` is not on PATH"):
        process.server_command("tensorflow-serving", [])


def test_a_server_that_ended_is_not_waited_for(
    toy_models: dict[str, pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))  # No Python starts there.
    began = time.monotonic()
    with (
        pytest.raises(process.ServerError, match=r"the model server ended with status 1: .*nothing listens there"),
        process.model_server({"fused": toy_models["fused"]}, tmp_path, start_seconds=120),
    ):
        pass
    assert time.monotonic() - began < 30


def test_models_of_a_folder_without_any(tmp_path: pathlib.Path) -> None:
    failed = homefeed("models", "list", "--root", str(tmp_path))
    assert failed.returncode == 1 and "holds no published models" in failed.stderr
    assert homefeed("models", "list").returncode == 2
    assert homefeed("models", "rollback", "--serving-dir", "memory://nothing").returncode == 1
