"""`homefeed run`: the whole pipeline."""

from __future__ import annotations

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
    print_json,
    progress,
    silent,
)
from homefeed.pipeline.config import load_config
from homefeed.pipeline.recommender import recommender
from homefeed.pipeline.runner.local_runner import run_pipeline
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas.dataset import load_dataset


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
    observer = silent if as_json else progress
    steps = run_pipeline(dag, configs, place.path, name=name, observer=observer, until=until, metadata=metadata)
    if as_json:
        print_json([vars(step) for step in steps])
