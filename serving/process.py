"""A model server as a child process."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping


class ServerError(RuntimeError):
    """The model server did not come up."""


def write_model_config(path: pathlib.Path, models: Mapping[str, pathlib.Path]) -> None:
    """Writes a ModelServerConfig that serves the newest version of each model."""
    entries = (
        f'  config {{ name: "{name}" base_path: "{base_path.resolve()}" model_platform: "tensorflow" }}\n'
        for name, base_path in models.items()
    )
    path.write_text("model_config_list {\n" + "".join(entries) + "}\n", encoding="utf-8")


def server_command(config_file: pathlib.Path, port: int, rest_port: int = 0, host: str = "127.0.0.1") -> list[str]:
    """The command line of our model server."""
    flags = [f"--host={host}", f"--port={port}", f"--model_config_file={config_file.resolve()}"]
    if rest_port:
        flags.append(f"--rest_api_port={rest_port}")
    return [sys.executable, "-m", "serving.model_server", *flags]


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

    config_file, log_file = work_dir / "models.config", work_dir / "server.log"
    write_model_config(config_file, models)
    port = free_port()
    with log_file.open("wb") as log:
        process = subprocess.Popen(server_command(config_file, port), stdout=log, stderr=subprocess.STDOUT)
    try:
        client = homefeed_client.PredictionClient(f"127.0.0.1:{port}")
        for name in models:
            client.wait_until_available(name, timeout_seconds=start_seconds)
        yield f"127.0.0.1:{port}"
    except homefeed_client.PredictionError as error:
        tail = log_file.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise ServerError(f"the model server failed: {error}\nThe end of its log:\n{tail}") from error
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
