"""`homefeed deploy training`."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from homefeed.pipeline.cli.deploy.options import Image
from homefeed.pipeline.cli.terminal import Json, console, print_json
from homefeed.pipeline.config import load_fields
from homefeed.pipeline.deploy.kubeflow.tasks import Task
from homefeed.pipeline.deploy.training import Training, arguments, check, write
from homefeed.pipeline.runner.entry_point import check_component, named_paths

COMPONENT = "retrieval_trainer"


def training(
    out: Annotated[pathlib.Path, typer.Option(help="Folder for the files.")],
    inputs: Annotated[list[str], typer.Option("--input", help="name=FOLDER as workers see it; one for each input.")],
    outputs: Annotated[list[str], typer.Option("--output", help="name=FOLDER as workers see it; one for each.")],
    workers: Annotated[int, typer.Option(min=1, help="How many; each holds all of the data.")] = 2,
    image: Image = "homefeed:latest",
    config: Annotated[list[str] | None, typer.Option("--config", help="field=value; may be repeated.")] = None,
    task: Annotated[
        list[str] | None, typer.Option("--set-task", help="cpu=16 of each worker; may be repeated.")
    ] = None,
    name: Annotated[str, typer.Option(help="The job's name.")] = "homefeed-training",
    namespace: Annotated[str, typer.Option(help="Kubernetes namespace.")] = Training.namespace,
    claim: Annotated[str, typer.Option(help="The volume claim that all workers mount.")] = Training.claim,
    mount: Annotated[str, typer.Option(help="Where workers see it.")] = Training.mount,
    machine_type: Annotated[str, typer.Option(help="Of each worker on Vertex AI.")] = Training.machine,
    as_json: Json = False,
) -> None:
    """Write the files that train retrieval on several machines, on Kubernetes and on Vertex AI."""
    given, made = named_paths("input", inputs), named_paths("output", outputs)
    _, values = check_component(COMPONENT, given, made, config or (), elsewhere=True)
    defaults = {COMPONENT: {"cpu": "8", "memory": "32G"}}
    settings = [f"{COMPONENT}.{setting}" for setting in task or ()]
    wanted = load_fields({COMPONENT: Task}, settings=settings, defaults=defaults)[COMPONENT]
    check(values, workers, wanted)
    what = Training(
        name, workers, image, arguments(given, made, config or ()), wanted, namespace, claim, mount, machine_type
    )
    files = write(what, out)
    print_json({"out": str(out), "files": files}) if as_json else console.print(f"{', '.join(files)} to {out}")
