"""The verbs on the index of what can be recommended."""

from __future__ import annotations

import dataclasses

import typer

from homefeed.pipeline.cli.terminal import Data, Json, Root, console, print_json

index_app = typer.Typer(no_args_is_help=True, help="Keep the index of items up to date between trainings.")


@index_app.callback()
def index() -> None:
    """Keep the index of items up to date between trainings."""


@index_app.command()
def refresh(root: Root, data: Data, as_json: Json = False) -> None:
    """Embed the current items table with the last pushed model and publish it, without training."""
    from homefeed.pipeline.loop.refresh import refresh as refresh_index  # With TensorFlow.

    done = refresh_index(root.resolve(), data.resolve())
    if as_json:
        print_json(dataclasses.asdict(done))
        return
    console.print(
        f"version {done.version}: {done.items:,} items, of which training did not know {done.new_items:,}; "
        f"{done.gone_items:,} are gone; {done.denied_items:,} are denied"
    )
