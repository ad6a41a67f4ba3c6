"""`homefeed models`: which versions are published, and which of them is stable."""

from __future__ import annotations

import pathlib
from typing import Annotated

import rich.table
import typer

from homefeed.pipeline.cli.terminal import Json, console, print_json
from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.releases import Releases

models_app = typer.Typer(no_args_is_help=True, help="List, promote and roll back published models.")
Place = Annotated[
    pathlib.Path | None, typer.Option("--root", help="Folder of a run; its models are in `<root>/serving`.")
]
Url = Annotated[str | None, typer.Option("--serving-dir", help="Where the Pusher published, folder or URL.")]
Settle = Annotated[
    float, typer.Option(min=0, help="Seconds in which running servers read the new labels, before versions go.")
]


@models_app.command("list")
def list_models(root: Place = None, serving_dir: Url = None, as_json: Json = False) -> None:
    """List the published versions, newest first."""
    versions = _releases(root, serving_dir).versions()
    if as_json:
        print_json([vars(release) for release in versions])
        return
    table = rich.table.Table("version", "state", "models")
    for release in versions:
        table.add_row(str(release.version), release.state, ", ".join(release.models))
    console.print(table)


@models_app.command()
def promote(
    version: Annotated[int | None, typer.Argument(help="By default the canary.")] = None,
    root: Place = None,
    serving_dir: Url = None,
    settle: Settle = 3.0,
    as_json: Json = False,
) -> None:
    """Make a version the stable one; newer ones are retired."""
    _tell(_releases(root, serving_dir).promote(version, settle_seconds=settle), as_json)


@models_app.command()
def rollback(root: Place = None, serving_dir: Url = None, settle: Settle = 3.0, as_json: Json = False) -> None:
    """Go back: drop the canary, or else make the version before the stable one stable again."""
    _tell(_releases(root, serving_dir).rollback(settle_seconds=settle), as_json)


def _tell(stable: int, as_json: bool) -> None:
    print_json({"stable": stable}) if as_json else console.print(f"version {stable} is stable")


def _releases(root: pathlib.Path | None, serving_dir: str | None) -> Releases:
    if root is None and serving_dir:
        releases = Releases(serving_dir)
    elif root and serving_dir is None:
        releases = Releases(str(RunRoot(root).serving))
    else:
        raise typer.BadParameter("give --root or --serving-dir")
    if not releases.models():
        raise RunError(f"{releases.root} holds no published models: `homefeed run` pushes them")
    return releases
