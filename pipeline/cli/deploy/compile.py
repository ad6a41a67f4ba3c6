"""`homefeed deploy compile`."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.cli.deploy.options import Data, ServingDir, require
from homefeed.pipeline.cli.terminal import ConfigFile, Json, Settings, console, print_json
from homefeed.pipeline.config import load_config
from homefeed.pipeline.deploy.kubeflow.compile import Deployment, compile_pipeline, write_package
from homefeed.pipeline.deploy.kubeflow.tasks import load_tasks
from homefeed.pipeline.recommender import recommender


def compile_(
    out: Annotated[pathlib.Path, typer.Option(help="The package, YAML.")],
    image: Annotated[str, typer.Option(help="The container image that holds homefeed.")] = "homefeed:latest",
    name: Annotated[str, typer.Option(help="The pipeline's name.")] = "homefeed",
    data: Data = None,
    serving_dir: ServingDir = None,
    config: ConfigFile = None,
    settings: Settings = None,
    tasks: Annotated[
        pathlib.Path | None, typer.Option(help="YAML: component: {cpu, memory, accelerator, retries, cache}.")
    ] = None,
    task_settings: Annotated[
        list[str] | None, typer.Option("--set-task", help="component.accelerator=NVIDIA_L4; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compile the pipeline to a Kubeflow Pipelines v2 package, which Vertex AI runs too."""
    require("kfp", "kubeflow")
    dag = recommender(DatasetDir(pathlib.Path(data or ".")))
    defaults = {"pusher": {"serving_dir": serving_dir}} if serving_dir else {}
    configs = load_config(dag, config, settings or (), defaults, elsewhere=True)
    deployment = Deployment(load_tasks(dag, tasks, tuple(task_settings or ())), image, name)
    write_package(compile_pipeline(dag, configs, deployment, {"dataset": data} if data else None), out)
    found = {"out": str(out), "components": dag.names(), "image": image}
    print_json(found) if as_json else console.print(f"{len(dag.nodes)} components to {out}")
