"""Options that several verbs of `homefeed deploy` share."""

from __future__ import annotations

import datetime
import importlib.util
import pathlib
from typing import Annotated

import typer

from homefeed.pipeline.deploy.errors import DeployUsageError

Image = Annotated[str, typer.Option(help="The container image that holds homefeed.")]
Data = Annotated[str | None, typer.Option(help="URI of the data folder, as the importer sees it.")]
ServingDir = Annotated[str | None, typer.Option(help="Where the Pusher publishes, as its container sees it.")]
Package = Annotated[pathlib.Path, typer.Option(help="What `homefeed deploy compile` wrote.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be sent, and send nothing.")]


def job_name() -> str:
    """What a run is called by default."""
    return f"homefeed-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"


def require(module: str, extra: str) -> None:
    """Makes sure of an extra's module before anything else is done.

    Raises:
        DeployUsageError: it is not installed.
    """
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise DeployUsageError(f"{module} is not installed: pip install 'homefeed[{extra}]' brings it")
