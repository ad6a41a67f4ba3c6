"""`homefeed deploy workers`."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from homefeed.pipeline.cli.terminal import Json, console, print_json
from homefeed.pipeline.deploy.beam_workers import write_worker_package


def workers(
    out: Annotated[pathlib.Path, typer.Option(help="Folder for the package.")],
    as_json: Json = False,
) -> None:
    """Write the package for Beam's workers on other machines: --setup_file=OUT/setup.py."""
    setup = write_worker_package(out)
    print_json({"setup_file": str(setup)}) if as_json else console.print(f"--setup_file={setup}")
