"""The verbs `homefeed deploy …`: the same pipeline and models on Kubeflow, Vertex AI and Kubernetes."""

from __future__ import annotations

import json
import pathlib
from typing import Annotated, Any

import typer

from pipeline.terminal import Json, console, print_json

deploy_app = typer.Typer(no_args_is_help=True, help="Compile the pipeline, submit it, and put models into service.")

Image = Annotated[str, typer.Option(help="The container image that holds homefeed.")]
Source = Annotated[str | None, typer.Option(help="URI of the data folder; without it each run must name it.")]
ServingDir = Annotated[str | None, typer.Option(help="Where the Pusher publishes, as its container sees it.")]
ConfigFile = Annotated[pathlib.Path | None, typer.Option("--config", help="YAML: component: {field: value}.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="component.field=value; may be repeated.")]
TaskFile = Annotated[
    pathlib.Path | None, typer.Option("--tasks", help="YAML: component: {cpu, memory, accelerator, retries, cache}.")
]
TaskSettings = Annotated[
    list[str] | None, typer.Option("--set-task", help="component.accelerator=NVIDIA_L4; may be repeated.")
]


@deploy_app.command("compile")
def compile_(
    out: Annotated[pathlib.Path, typer.Option(help="The package, YAML.")],
    image: Image = "homefeed:latest",
    name: Annotated[str, typer.Option(help="The pipeline's name.")] = "homefeed",
    data: Source = None,
    serving_dir: ServingDir = None,
    config: ConfigFile = None,
    settings: Settings = None,
    tasks: TaskFile = None,
    task_settings: TaskSettings = None,
    as_json: Json = False,
) -> None:
    """Compile the pipeline to a Kubeflow Pipelines v2 package."""
    from components.artifacts import DatasetDir
    from pipeline.config import load_config
    from pipeline.kubeflow import Deployment, compile_pipeline, load_tasks, write_package
    from pipeline.recommender import recommender

    dag = recommender(DatasetDir(pathlib.Path(data or ".")))
    defaults = {"pusher": {"serving_dir": serving_dir}} if serving_dir else {}
    configs = load_config(dag, config, settings or (), defaults)
    deployment = Deployment(load_tasks(dag, tasks, tuple(task_settings or ())), image, name)
    write_package(compile_pipeline(dag, configs, deployment, {"dataset": data} if data else None), out)
    found = {"out": str(out), "components": dag.names(), "image": image}
    print_json(found) if as_json else console.print(f"{len(dag.nodes)} components to {out}")


@deploy_app.command()
def report(
    status: Annotated[str, typer.Option(help="JSON of a PipelineTaskFinalStatus, as the pipeline gives it.")],
) -> None:
    """Log how a run ended, as one line of JSON that alerts can match: what the exit handler does."""
    try:
        found: dict[str, Any] = json.loads(status)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"--status is not JSON: {status!r}") from error
    state = found.get("state", "UNKNOWN")
    error = found.get("error") or {}
    line = {
        "severity": "INFO" if state == "SUCCEEDED" else "ERROR",
        "message": f"homefeed pipeline {state.lower()}" + (f": {error['message']}" if error.get("message") else ""),
        "run": found.get("pipelineJobResourceName", ""),
        "task": found.get("pipelineTaskName", ""),
    }
    print(json.dumps(line, ensure_ascii=False))
