"""A model server as a child process."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.server_config import BATCHING_FILE, CONFIG_FILE, model_config

if TYPE_CHECKING:
    import homefeed_client

TENSORFLOW_SERVING = "tensorflow_model_server"


class ServerError(HomefeedError, RuntimeError):
    """The model server did not come up."""


def server_flags(serving_dir: str, port: int, rest_port: int = 0) -> list[str]:
    """The flags with which a model server serves what `releases` publishes and follows each change."""
    return [
        f"--port={port}",
        f"--rest_api_port={rest_port}",
        f"--model_config_file={serving_dir}/{CONFIG_FILE}",
        "--model_config_file_poll_wait_seconds=1",
        "--file_system_poll_wait_seconds=1",
        # A label may be on a version that loads together with it.
        "--allow_version_labels_for_unavailable_models",
        "--enable_grpc_healthcheck_service",
        # Requests share the cores, and a request its graph's branches: cutting small matrices up as well costs more
        # than it gives.
        "--tensorflow_intra_op_parallelism=1",
        "--enable_batching",
        f"--batching_parameters_file={serving_dir}/{BATCHING_FILE}",
    ]


def server_command(engine: str, flags: Sequence[str], host: str = "127.0.0.1") -> list[str]:
    """The command line of a model server.

    Args:
        engine: `homefeed` for our own, `tensorflow-serving` for the `tensorflow_model_server` on PATH.
        flags: of `tensorflow_model_server`.
        host: address to listen on. TensorFlow Serving cannot be told: it listens on all.

    Raises:
        ServerError: there is no such binary.
    """
    if engine == "homefeed":
        own = [f"--host={host}", "--enable_grpc_reflection"]
        return [sys.executable, "-m", "homefeed.serving.model_server", *own, *flags]
    binary = shutil.which(TENSORFLOW_SERVING)
    if binary is None:
        raise ServerError(
            f"`{TENSORFLOW_SERVING}` is not on PATH: install TensorFlow Serving, or leave out `--engine` to serve "
            "with homefeed's own model server."
        )
    return [binary, *flags]


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def model_server(
    models: Mapping[str, pathlib.Path], work_dir: pathlib.Path, start_seconds: float = 120
) -> Iterator[str]:
    """Runs a model server until the block ends; gives its gRPC address.

    Args:
        models: model name → base path (the folder that holds the versions).
        work_dir: an existing folder for the server's configuration and log.
        start_seconds: how long the models may take to load.

    Raises:
        ServerError: the server ended, or did not serve every model in time; with the end of its log.
    """
    import homefeed_client

    config_file, log_file = work_dir / CONFIG_FILE, work_dir / "server.log"
    config_file.write_text(model_config({name: path.resolve() for name, path in models.items()}), encoding="utf-8")
    port = free_port()
    command = server_command("homefeed", [f"--port={port}", f"--model_config_file={config_file.resolve()}"])
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        with homefeed_client.PredictionClient(f"127.0.0.1:{port}") as client:
            for name in models:
                _wait_until_available(client, name, process, time.monotonic() + start_seconds)
        yield f"127.0.0.1:{port}"
    except homefeed_client.PredictionError as error:
        tail = log_file.read_text(encoding="utf-8", errors="replace")[-2000:]
        state = "is running" if process.poll() is None else f"ended with status {process.returncode}"
        raise ServerError(f"the model server {state}: {error}\nThe end of its log:\n{tail}") from error
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_available(
    client: homefeed_client.PredictionClient, model: str, server: subprocess.Popen[bytes], deadline: float
) -> None:
    """Waits as long as there is something to wait for."""
    import homefeed_client

    while True:
        try:
            client.wait_until_available(model, timeout_seconds=1.0)
            return
        except homefeed_client.PredictionError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
