"""`homefeed serve`: a model server on what was pushed."""

from __future__ import annotations

import enum
import os
import sys
from typing import Annotated

import typer

from homefeed.pipeline.cli.terminal import Root, console
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.process import check_free, server_command, server_flags
from homefeed.serving.releases import Releases


class Engine(enum.StrEnum):
    """Which model server answers."""

    HOMEFEED = "homefeed"
    TENSORFLOW_SERVING = "tensorflow-serving"


def serve(
    root: Root,
    port: Annotated[int, typer.Option(min=1, max=65535, help="gRPC port.")] = 8500,
    rest_port: Annotated[int, typer.Option(min=0, max=65535, help="REST port; 0 for none.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    engine: Annotated[
        Engine, typer.Option(help="homefeed's own server, or tensorflow_model_server from PATH.")
    ] = Engine.HOMEFEED,
) -> None:
    """Serve the pushed models; new versions, promotions and rollbacks are picked up while running."""
    serving_dir = RunRoot(root).pushed()
    Releases(serving_dir).configure()
    check_free(host, *filter(None, (port, rest_port)))
    command = server_command(engine.value, server_flags(str(serving_dir), port, rest_port), host)
    console.print(f"gRPC on {host}:{port}" + (f", REST on {host}:{rest_port}" if rest_port else ""))
    sys.stdout.flush()
    os.execv(command[0], command)  # The server gets our process, and so its signals.
