"""`homefeed component`: one component by itself."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from homefeed.pipeline.cli.terminal import Json, console, print_json
from homefeed.pipeline.runner.entry_point import named_paths, run_component


def component(
    name: Annotated[str, typer.Argument(help="Such as example_gen.")],
    inputs: Annotated[list[str] | None, typer.Option("--input", help="name=FOLDER; one for each input.")] = None,
    outputs: Annotated[list[str] | None, typer.Option("--output", help="name=FOLDER; one for each output.")] = None,
    config: Annotated[list[str] | None, typer.Option("--config", help="field=value; may be repeated.")] = None,
    verdicts: Annotated[
        list[str] | None,
        typer.Option("--verdict", help="gate=FILE that gets open or closed, instead of exit code 1."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove what lies in the outputs.")] = False,
    executor_output: Annotated[
        pathlib.Path | None, typer.Option(help="File that gets the outputs as Kubeflow wants them.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run one component by itself: what a container of the pipeline does."""
    summary = run_component(
        name,
        named_paths("input", inputs or ()),
        named_paths("output", outputs or ()),
        config or (),
        named_paths("verdict", verdicts or ()),
        overwrite,
        executor_output,
    )
    print_json({"component": name, "summary": summary}) if as_json else console.print(f"{name}: {summary}")
