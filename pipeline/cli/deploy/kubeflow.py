"""`homefeed deploy kubeflow`."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from homefeed.pipeline.cli.deploy.options import Data, DryRun, Package, ServingDir, job_name, require
from homefeed.pipeline.cli.deploy.packages import load_package, parameters
from homefeed.pipeline.cli.terminal import Settings, print_json
from homefeed.pipeline.deploy.errors import DeployUsageError
from homefeed.pipeline.deploy.kubeflow import api


def kubeflow(
    package: Package,
    data: Data = None,
    host: Annotated[
        str, typer.Option(envvar="KF_PIPELINES_ENDPOINT", help="The API's URL; default: kubectl's current context.")
    ] = "",
    namespace: Annotated[str, typer.Option(help="Of the user, in a multi-user cluster.")] = "kubeflow",
    token_file: Annotated[pathlib.Path | None, typer.Option(help="File with a bearer token.")] = None,
    serving_dir: ServingDir = None,
    settings: Settings = None,
    name: Annotated[str, typer.Option(help="The run's name; default: homefeed and the time.")] = "",
    pipeline_root: Annotated[str, typer.Option(help="Where artifacts lie; default: the cluster's own place.")] = "",
    experiment_id: Annotated[str, typer.Option(help="Default: the cluster's default experiment.")] = "",
    service_account: Annotated[str, typer.Option(help="The Kubernetes service account of the pods.")] = "",
    cron: Annotated[str, typer.Option(help="Six fields, seconds first, such as '0 0 3 * * *'.")] = "",
    dry_run: DryRun = False,
) -> None:
    """Run the pipeline on Kubeflow Pipelines, once or by a schedule."""
    require("kfp", "kubeflow")
    spec = load_package(package)
    values = parameters(spec, data, serving_dir, settings or ())
    request = api.run_request(spec, name or job_name(), values, pipeline_root, service_account, experiment_id, cron)
    if dry_run:
        print_json([{"host": host, **api.as_json(request)}])
        return
    if token_file is not None and not token_file.is_file():
        raise DeployUsageError(f"there is no token file {token_file}")
    token = token_file.read_text(encoding="utf-8").strip() if token_file else ""
    print_json({"id": api.send(request, api.Cluster(host, namespace, token))})
