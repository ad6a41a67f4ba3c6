"""`homefeed run`: the whole pipeline."""

from __future__ import annotations

import pathlib
import shlex
from collections.abc import Sequence
from typing import Annotated

import typer

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.cli.terminal import (
    ConfigFile,
    Data,
    Json,
    Metadata,
    Root,
    Settings,
    console,
    print_json,
    progress,
    silent,
)
from homefeed.pipeline.config import load_config
from homefeed.pipeline.recommender import recommender
from homefeed.pipeline.runner.local_runner import Step, run_pipeline
from homefeed.pipeline.runner.reports import INDEX, figures, publishing
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas.dataset import load_dataset
from homefeed.serving.profiles import ProfileStore


def run(
    data: Data,
    root: Root,
    config: ConfigFile = None,
    settings: Settings = None,
    until: Annotated[str | None, typer.Option(help="The last component to run.")] = None,
    metadata: Metadata = None,
    as_json: Json = False,
) -> None:
    """Run the whole pipeline; what is already done is not done again."""
    name = load_dataset(data).name
    dag = recommender(DatasetDir(data.resolve()))
    place = RunRoot(root.resolve())
    configs = load_config(dag, config, settings or (), place.defaults())
    with publishing(place, silent if as_json else progress) as (observer, seen):
        try:
            steps = run_pipeline(
                dag, configs, place.path, name=name, observer=observer, until=until, metadata=metadata
            )
        finally:
            if not as_json:
                say_results(place, seen)
    if as_json:
        print_json([vars(step) for step in steps])
    else:
        say_next(place, data, root, has_ended=len(steps) == len(dag.nodes))


def say_results(place: RunRoot, steps: Sequence[Step]) -> None:
    """The figures beside simple methods, and where the pages are."""
    for title, found in figures(steps).items():
        told = " · ".join(f"{method} {value:.4f}" for method, value in found.items())
        console.print(f"{title}: {told}", soft_wrap=True)
    if steps:
        console.print(f"reports: {place.reports / INDEX}", soft_wrap=True)


def say_next(place: RunRoot, data: pathlib.Path, root: pathlib.Path, has_ended: bool) -> None:
    """What to type now."""
    if not has_ended:
        command = f"homefeed run --data {shlex.quote(str(data))} --root {shlex.quote(str(root))}"
    elif place.profiles.is_file():
        user = next(ProfileStore(place.profiles).user_ids(), "anybody")
        command = f"homefeed recommend --root {shlex.quote(str(root))} --user {shlex.quote(user)}"
    else:  # They were pushed to another place.
        command = f"homefeed lineage --root {shlex.quote(str(root))}"
    console.print(f"next: {command}", soft_wrap=True)
