"""A model server as a child process."""

from __future__ import annotations

import contextlib
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.releases.server_config import BATCHING_FILE, CONFIG_FILE, model_config

if TYPE_CHECKING:
    import homefeed_client

TENSORFLOW_SERVING = "tensorflow_model_server"
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s] %(message)s"


class ServerError(HomefeedError, RuntimeError):
    """The model server did not come up or went away: it says nothing of the models."""


class ModelsRefusedError(ServerError):
    """The server says that it cannot serve these models, as any server would."""


_OF_THE_MODEL = (
    "INVALID_ARGUMENT|NOT_FOUND|PERMISSION_DENIED|FAILED_PRECONDITION|OUT_OF_RANGE|UNIMPLEMENTED|DATA_LOSS"
)
_REFUSAL = re.compile(rf"did not become available: .* due to error: ({_OF_THE_MODEL}): ")

THREADS = "--tensorflow_intra_op_parallelism=1"
"""Requests share the cores, and a request its graph's branches: cutting small matrices up does not pay."""
SERVER_ENVIRONMENT = {"TF_ENABLE_ONEDNN_OPTS": "0"}
"""What TensorFlow's server needs beside its flags; ours sets it itself. oneDNN's kernels corrupt the heap (AMX)."""


def server_flags(serving_dir: str, port: int, rest_port: int = 0, config_file: str = CONFIG_FILE) -> list[str]:
    """The flags with which a model server serves what `releases` publishes and follows each change."""
    return [
        f"--port={port}",
        f"--rest_api_port={rest_port}",
        f"--model_config_file={serving_dir}/{config_file}",
        "--model_config_file_poll_wait_seconds=1",
        "--file_system_poll_wait_seconds=1",
        # A label may be on a version that loads together with it.
        "--allow_version_labels_for_unavailable_models",
        "--enable_grpc_healthcheck_service",
        THREADS,
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
        return [sys.executable, "-P", "-m", "homefeed.serving.model_server", *own, *flags]
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


def check_free(host: str, *ports: int) -> None:
    """Makes sure, before anything is loaded, that a server can listen.

    Raises:
        ServerError: it cannot, because somebody else does, or for want of rights, or the host is not this machine.
    """
    for place, port in enumerate(ports):
        if port in ports[:place]:
            raise ServerError(f"gRPC and REST cannot share port {port}: give each its own")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As servers do.
            try:
                probe.bind((host, port))
            except OSError as error:
                raise ServerError(
                    f"nothing can listen on {host}:{port} ({error.strerror}): give another port, or end what is there"
                ) from error


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
        ModelsRefusedError: it cannot load them, or refused a request within the block as wrong.
    """
    import homefeed_client

    config_file, log_file = work_dir / CONFIG_FILE, work_dir / "server.log"
    config_file.write_text(model_config({name: path.resolve() for name, path in models.items()}), encoding="utf-8")
    port = free_port()
    flags = [f"--port={port}", f"--model_config_file={config_file.resolve()}", "--max_num_load_retries=0"]
    command = server_command("homefeed", flags)
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        with homefeed_client.PredictionClient(f"127.0.0.1:{port}") as client:
            deadline = time.monotonic() + start_seconds
            for name in models:
                _wait_until_available(client, name, process, deadline)
        yield f"127.0.0.1:{port}"
    except homefeed_client.PredictionError as error:
        said = log_file.read_text(encoding="utf-8", errors="replace")
        state = "is running" if process.poll() is None else f"ended with status {process.returncode}"
        kind = ModelsRefusedError if _are_refused(error, said) else ServerError
        raise kind(f"the model server {state}: {error}\nThe end of its log:\n{said[-2000:]}") from error
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _are_refused(error: homefeed_client.PredictionError, said: str) -> bool:
    """Whether the server speaks of the models, in its log or to the client."""
    import homefeed_client

    wrong = homefeed_client.InvalidInputsError, homefeed_client.InvalidRequestError, homefeed_client.UnsupportedError
    return isinstance(error, wrong) or _REFUSAL.search(said) is not None


def _wait_until_available(
    client: homefeed_client.PredictionClient, model: str, server: subprocess.Popen[bytes], deadline: float
) -> None:
    """Waits as long as there is something to wait for."""
    import homefeed_client

    while True:
        try:
            client.wait_until_available(model, timeout_seconds=min(1.0, deadline - time.monotonic()))
            return
        except homefeed_client.ServerError:
            if server.poll() is not None or time.monotonic() >= deadline:
                raise
