"""`homefeed deploy vertex`, `vertex-model` and `vertex-traffic`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from homefeed.pipeline.cli.deploy.options import Data, DryRun, Package, ServingDir, job_name, require
from homefeed.pipeline.cli.deploy.packages import load_package, parameters
from homefeed.pipeline.cli.terminal import Settings, print_json
from homefeed.pipeline.deploy.errors import DeployUsageError
from homefeed.pipeline.deploy.vertex.requests import Call, Place, Serving, model_calls, run_calls, traffic_calls
from homefeed.pipeline.deploy.vertex.send import send

Labels = Annotated[list[str] | None, typer.Option("--label", help="key=value on everything made; may be repeated.")]
Project = Annotated[str, typer.Option(envvar="GOOGLE_CLOUD_PROJECT", help="The Google Cloud project.")]
Region = Annotated[str, typer.Option(envvar="GOOGLE_CLOUD_REGION", help="Such as europe-west4.")]
ServiceAccount = Annotated[str, typer.Option(help="Whom the work runs as.")]
Network = Annotated[str, typer.Option(help="projects/NUMBER/global/networks/NAME to be peered with.")]
ApiEndpoint = Annotated[str, typer.Option(help="Another API host than the region's; http:// gets no credentials.")]
ModelName = Annotated[str, typer.Option(help="retrieval or ranking.")]


def vertex(
    package: Package,
    bucket: Annotated[str, typer.Option(help="gs:// folder that gets the artifacts.")],
    data: Data = None,
    project: Project = "",
    region: Region = "",
    serving_dir: ServingDir = None,
    settings: Settings = None,
    job_id: Annotated[str, typer.Option(help="The run's name; default: homefeed and the time.")] = "",
    cron: Annotated[str, typer.Option(help="Run by this schedule, such as 'TZ=Europe/Berlin 0 3 * * *'.")] = "",
    service_account: ServiceAccount = "",
    network: Network = "",
    labels: Labels = None,
    api_endpoint: ApiEndpoint = "",
    dry_run: DryRun = False,
) -> None:
    """Run the pipeline on Vertex AI, once or by a schedule."""
    require("google.cloud.aiplatform_v1", "vertex")
    place = Place(project, region, _pairs("label", labels), service_account, network, api_endpoint)
    spec = load_package(package)
    values = parameters(spec, data, serving_dir, settings or ())
    _finish(run_calls(place, spec, bucket, values, job_id or job_name(), cron), place, dry_run)


def vertex_model(
    models: Annotated[str, typer.Option(help="gs:// folder where the Pusher published.")],
    version: Annotated[int, typer.Option(min=1, help="The version to serve.")],
    image: Annotated[str, typer.Option(help="TensorFlow Serving, in Artifact Registry.")],
    model: ModelName = "retrieval",
    keep: Annotated[
        list[str] | None,
        typer.Option(help="VERSION=PERCENT of the traffic that stays; the rest goes to the new one."),
    ] = None,
    project: Project = "",
    region: Region = "",
    machine_type: Annotated[str, typer.Option(help="Of each replica.")] = Serving.machine_type,
    min_replicas: Annotated[int, typer.Option(min=1)] = Serving.min_replicas,
    max_replicas: Annotated[int, typer.Option(min=1)] = Serving.max_replicas,
    accelerator: Annotated[str, typer.Option(help="Such as NVIDIA_TESLA_T4.")] = "",
    service_account: ServiceAccount = "",
    network: Network = "",
    labels: Labels = None,
    api_endpoint: ApiEndpoint = "",
    dry_run: DryRun = False,
) -> None:
    """Put a pushed model into service on Vertex AI: upload, endpoint, deployment with its share of the traffic.

    The first time, without --keep, makes model and endpoint; later ones add a version beside those that are kept.
    """
    require("google.cloud.aiplatform_v1", "vertex")
    place = Place(project, region, _pairs("label", labels), service_account, network, api_endpoint)
    serving = Serving(image, machine_type, min_replicas, max_replicas, accelerator)
    kept = None if keep is None else _percents("keep", keep)
    base_uri = f"{models.rstrip('/')}/{model}"
    _finish(model_calls(place, serving, model, base_uri, version, kept), place, dry_run)


def vertex_traffic(
    split: Annotated[list[str], typer.Option(help="VERSION=PERCENT; 100 in all.")],
    model: ModelName = "retrieval",
    project: Project = "",
    region: Region = "",
    api_endpoint: ApiEndpoint = "",
    dry_run: DryRun = False,
) -> None:
    """Share an endpoint's traffic out anew: promotion and rollback."""
    require("google.cloud.aiplatform_v1", "vertex")
    place = Place(project, region, api_endpoint=api_endpoint)
    _finish(traffic_calls(place, model, _percents("split", split)), place, dry_run)


def _finish(calls: Sequence[Call], place: Place, dry_run: bool) -> None:
    if dry_run:
        print_json([call.as_json(place) for call in calls])
    else:
        print_json({"made": send(calls, place)})


def _pairs(flag: str, pairs: Sequence[str] | None) -> dict[str, str]:
    split = [(pair, *pair.partition("=")) for pair in pairs or ()]
    wrong = [pair for pair, name, equals, _ in split if not (name and equals)]
    if wrong:
        raise DeployUsageError(f"--{flag} takes name=value, got {', '.join(map(repr, wrong))}")
    return {name: value for _, name, _, value in split}


def _percents(flag: str, pairs: Sequence[str]) -> dict[int, int]:
    try:
        return {int(version): int(percent) for version, percent in _pairs(flag, pairs).items()}
    except ValueError as error:
        raise DeployUsageError(f"--{flag} takes VERSION=PERCENT, both whole numbers, got {list(pairs)}") from error
