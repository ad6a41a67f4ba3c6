from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from homefeed.serving import process
from tests.serving.gateway import toy
from tests.serving.servers import eventually, running_server
from tests.serving.test_releases import parsed


@pytest.fixture(scope="package")
def root(nearest: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where profiles and models are pushed."""
    root = tmp_path_factory.mktemp("root")
    toy.publish(root / "serving", nearest)
    (root / "picks.txt").write_text("i36\n\ni35\nno-such-item\n")
    return root


@pytest.fixture(scope="package")
def models(root: pathlib.Path) -> Iterator[str]:
    """`host:port` of a model server."""
    port = process.free_port()
    with running_server(**parsed(process.server_flags(str(root / "serving"), port))):
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="package")
def home(root: pathlib.Path, models: str) -> Iterator[toy.Gateway]:
    """A gateway before a model server, with the editors' choice of i36 and i35.

    All tests of this folder share it: each has users of its own, and none changes what is known of `fan`.
    """
    options = ("--picks", str(root / "picks.txt"), "--budget-ms", "5000")
    with toy.gateway(root, *options, models=models) as gateway:
        eventually(lambda: gateway.http.get("/v1/ready").json()["models"])
        yield gateway
