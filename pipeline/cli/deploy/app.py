"""The verbs below `homefeed deploy`."""

from __future__ import annotations

import typer

from homefeed.pipeline.cli.deploy.compile import compile_
from homefeed.pipeline.cli.deploy.compile_retrain import compile_retrain
from homefeed.pipeline.cli.deploy.kubeflow import kubeflow
from homefeed.pipeline.cli.deploy.report import report
from homefeed.pipeline.cli.deploy.serving import serving
from homefeed.pipeline.cli.deploy.training import training
from homefeed.pipeline.cli.deploy.vertex import vertex, vertex_model, vertex_traffic
from homefeed.pipeline.cli.deploy.workers import workers

deploy_app = typer.Typer(no_args_is_help=True, help="Compile the pipeline, submit it, and put models into service.")
deploy_app.command("compile")(compile_)
for _verb in (compile_retrain, vertex, vertex_model, vertex_traffic, kubeflow, serving, training, workers, report):
    deploy_app.command()(_verb)
