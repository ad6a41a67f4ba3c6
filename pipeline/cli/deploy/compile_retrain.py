"""`homefeed deploy compile-retrain`."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.cli.deploy.options import Data, Image, ServingDir, require
from homefeed.pipeline.cli.retraining import takes_options
from homefeed.pipeline.cli.terminal import ConfigFile, Json, Settings, console, print_json
from homefeed.pipeline.config import load_config
from homefeed.pipeline.deploy.kubeflow.compile import Deployment, write_package
from homefeed.pipeline.loop.options import Options
from homefeed.pipeline.recommender import recommender


@takes_options
def compile_retrain(
    out: Annotated[pathlib.Path, typer.Option(help="The package, YAML.")],
    root: Annotated[str, typer.Option(help="Folder of runs that stays, as the container sees it.")],
    options: Options,
    image: Image = "homefeed:latest",
    name: Annotated[str, typer.Option(help="The pipeline's name.")] = "homefeed-retrain",
    data: Data = None,
    serving_dir: ServingDir = None,
    config: ConfigFile = None,
    settings: Settings = None,
    retrain_settings: Annotated[
        list[str] | None, typer.Option("--set-task", help="retrain.accelerator=NVIDIA_L4; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compile `homefeed retrain` to a package that Kubeflow Pipelines and Vertex AI run by a schedule."""
    require("kfp", "kubeflow")
    from homefeed.pipeline.deploy.kubeflow.retraining import compile_retraining, load_task

    dag = recommender(DatasetDir(pathlib.Path(data or ".")))
    defaults = {"pusher": {"serving_dir": serving_dir or f"{root.rstrip('/')}/serving"}}
    configs = load_config(dag, config, settings or (), defaults, elsewhere=True)
    deployment = Deployment(load_task(tuple(retrain_settings or ())), image, name)
    write_package(compile_retraining(dag, configs, options, root, deployment, data or ""), out)
    found = {"out": str(out), "root": root, "image": image}
    print_json(found) if as_json else console.print(f"retraining of {root} to {out}")
