"""The verbs `homefeed deploy …`: the same pipeline and models on Kubeflow, Vertex AI and Kubernetes."""

from __future__ import annotations

import datetime
import importlib.util
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from homefeed.pipeline.cli.terminal import Json, Root, console, print_json
from homefeed.pipeline.deploy import kubeflow_api
from homefeed.pipeline.deploy.vertex import (
    Call,
    DeployUsageError,
    Place,
    Serving,
    model_calls,
    run_calls,
    send,
    traffic_calls,
)
from homefeed.serving.deploy.render import Options, render

deploy_app = typer.Typer(no_args_is_help=True, help="Compile the pipeline, submit it, and put models into service.")

Image = Annotated[str, typer.Option(help="The container image that holds homefeed.")]
Data = Annotated[str | None, typer.Option(help="URI of the data folder, as the importer sees it.")]
ServingDir = Annotated[str | None, typer.Option(help="Where the Pusher publishes, as its container sees it.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="component.field=value; may be repeated.")]
Package = Annotated[pathlib.Path, typer.Option(help="What `homefeed deploy compile` wrote.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be sent, and send nothing.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="key=value on everything made; may be repeated.")]
Project = Annotated[str, typer.Option(envvar="GOOGLE_CLOUD_PROJECT", help="The Google Cloud project.")]
Region = Annotated[str, typer.Option(envvar="GOOGLE_CLOUD_REGION", help="Such as europe-west4.")]
ServiceAccount = Annotated[str, typer.Option(help="Whom the work runs as.")]
Network = Annotated[str, typer.Option(help="projects/NUMBER/global/networks/NAME to be peered with.")]
ApiEndpoint = Annotated[str, typer.Option(help="Another API host than the region's; http:// gets no credentials.")]
ModelName = Annotated[str, typer.Option(help="retrieval or ranking.")]


@deploy_app.command("compile")
def compile_(
    out: Annotated[pathlib.Path, typer.Option(help="The package, YAML.")],
    image: Image = "homefeed:latest",
    name: Annotated[str, typer.Option(help="The pipeline's name.")] = "homefeed",
    data: Data = None,
    serving_dir: ServingDir = None,
    config: Annotated[pathlib.Path | None, typer.Option(help="YAML: component: {field: value}.")] = None,
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
    from homefeed.components.artifacts.types import DatasetDir
    from homefeed.pipeline.config import load_config
    from homefeed.pipeline.deploy.kubeflow import Deployment, compile_pipeline, load_tasks, write_package
    from homefeed.pipeline.recommender import recommender

    _require("kfp", "kubeflow")
    dag = recommender(DatasetDir(pathlib.Path(data or ".")))
    defaults = {"pusher": {"serving_dir": serving_dir}} if serving_dir else {}
    configs = load_config(dag, config, settings or (), defaults)
    deployment = Deployment(load_tasks(dag, tasks, tuple(task_settings or ())), image, name)
    write_package(compile_pipeline(dag, configs, deployment, {"dataset": data} if data else None), out)
    found = {"out": str(out), "components": dag.names(), "image": image}
    print_json(found) if as_json else console.print(f"{len(dag.nodes)} components to {out}")


@deploy_app.command()
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
    _require("google.cloud.aiplatform_v1", "vertex")
    place = Place(project, region, _pairs("label", labels), service_account, network, api_endpoint)
    spec = _load_package(package)
    parameters = _parameters(spec, data, serving_dir, settings or ())
    _finish(run_calls(place, spec, bucket, parameters, job_id or _job_id(), cron), place, dry_run)


@deploy_app.command("vertex-model")
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
    _require("google.cloud.aiplatform_v1", "vertex")
    place = Place(project, region, _pairs("label", labels), service_account, network, api_endpoint)
    serving = Serving(image, machine_type, min_replicas, max_replicas, accelerator)
    kept = None if keep is None else _percents("keep", keep)
    base_uri = f"{models.rstrip('/')}/{model}"
    _finish(model_calls(place, serving, model, base_uri, version, kept), place, dry_run)


@deploy_app.command("vertex-traffic")
def vertex_traffic(
    split: Annotated[list[str], typer.Option(help="VERSION=PERCENT; 100 in all.")],
    model: ModelName = "retrieval",
    project: Project = "",
    region: Region = "",
    api_endpoint: ApiEndpoint = "",
    dry_run: DryRun = False,
) -> None:
    """Share an endpoint's traffic out anew: promotion and rollback."""
    _require("google.cloud.aiplatform_v1", "vertex")
    place = Place(project, region, api_endpoint=api_endpoint)
    _finish(traffic_calls(place, model, _percents("split", split)), place, dry_run)


@deploy_app.command()
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
    _require("kfp", "kubeflow")
    spec = _load_package(package)
    parameters = _parameters(spec, data, serving_dir, settings or ())
    request = kubeflow_api.run_request(
        spec, name or _job_id(), parameters, pipeline_root, service_account, experiment_id, cron
    )
    if dry_run:
        print_json([{"host": host, **kubeflow_api.as_json(request)}])
        return
    if token_file is not None and not token_file.is_file():
        raise DeployUsageError(f"there is no token file {token_file}")
    token = token_file.read_text(encoding="utf-8").strip() if token_file else ""
    print_json({"id": kubeflow_api.send(request, kubeflow_api.Cluster(host, namespace, token))})


@deploy_app.command()
def serving(
    root: Root,
    out: Annotated[pathlib.Path, typer.Option(help="Folder for the files.")],
    namespace: Annotated[str, typer.Option(help="Kubernetes namespace.")] = Options.namespace,
    image: Annotated[str, typer.Option(help="Name of the image that serving.Dockerfile builds.")] = Options.image,
    serving_base: Annotated[str, typer.Option(help="TensorFlow Serving as released.")] = Options.serving_base,
    models_dir: Annotated[str, typer.Option(help="Where containers see the pushed models.")] = Options.models_dir,
    claim: Annotated[str, typer.Option(help="The volume claim with the pushed models.")] = Options.claim,
    cpus: Annotated[int, typer.Option(min=1, help="Of each replica.")] = Options.cpus,
    min_replicas: Annotated[int, typer.Option(min=1)] = Options.min_replicas,
    max_replicas: Annotated[int, typer.Option(min=1)] = Options.max_replicas,
    latency_ms: Annotated[int, typer.Option(min=1, help="A p99 above it raises an alert.")] = Options.latency_ms,
    as_json: Json = False,
) -> None:
    """Write Dockerfiles, compose, Kubernetes, KServe, Prometheus and Grafana files for the pushed models."""
    if max_replicas < min_replicas:
        raise typer.BadParameter(f"--max-replicas {max_replicas} is below --min-replicas {min_replicas}")
    options = Options(
        namespace=namespace,
        image=image,
        serving_base=serving_base,
        models_dir=models_dir,
        claim=claim,
        cpus=cpus,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        latency_ms=latency_ms,
    )
    files = [str(path) for path in render(root / "serving", out, options)]
    print_json({"out": str(out), "files": files}) if as_json else console.print(f"{len(files)} files to {out}")


@deploy_app.command()
def workers(
    out: Annotated[pathlib.Path, typer.Option(help="Folder for the package.")],
    as_json: Json = False,
) -> None:
    """Write the package for Beam's workers on other machines: --setup_file=OUT/setup.py."""
    from homefeed.pipeline.deploy.beam_workers import write_worker_package

    setup = write_worker_package(out)
    print_json({"setup_file": str(setup)}) if as_json else console.print(f"--setup_file={setup}")


@deploy_app.command()
def report(
    status: Annotated[str, typer.Option(help="JSON of a PipelineTaskFinalStatus, as the pipeline gives it.")],
) -> None:
    """Log how a run ended, as one line of JSON that alerts can match: what the exit handler does."""
    try:
        found: dict[str, Any] = json.loads(status)
    except json.JSONDecodeError as fault:
        raise typer.BadParameter(f"--status is not JSON: {status!r}") from fault
    state = found.get("state", "UNKNOWN")
    reason = (found.get("error") or {}).get("message")
    line = {
        "severity": "INFO" if state == "SUCCEEDED" else "ERROR",
        "message": f"homefeed pipeline {state.lower()}" + (f": {reason}" if reason else ""),
        "run": found.get("pipelineJobResourceName", ""),
        "task": found.get("pipelineTaskName", ""),
    }
    print(json.dumps(line, ensure_ascii=False))


def _finish(calls: Sequence[Call], place: Place, dry_run: bool) -> None:
    if dry_run:
        print_json([call.as_json(place) for call in calls])
    else:
        print_json({"made": send(calls, place)})


def _load_package(path: pathlib.Path) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        raise DeployUsageError(f"there is no package {path}: `homefeed deploy compile --out {path}` makes one")
    try:
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise DeployUsageError(f"{path} is not YAML: {error}") from error
    if not isinstance(spec, dict) or not {"root", "components", "deploymentSpec"} <= spec.keys():
        raise DeployUsageError(f"{path} is no Kubeflow package: `homefeed deploy compile --out {path}` makes one")
    return spec


def _parameters(
    spec: Mapping[str, Any], data: str | None, serving_dir: str | None, settings: Sequence[str]
) -> dict[str, Any]:
    """What a run sets beside the package's own defaults."""
    from homefeed.pipeline.config import ConfigError, merge, near
    from homefeed.pipeline.deploy.kubeflow import parameter_name

    defaults = {"pusher": {"serving_dir": serving_dir}} if serving_dir else {}
    values = {
        parameter_name(component, field): value
        for component, fields in merge(defaults, None, settings).items()
        for field, value in fields.items()
    }
    if data:
        values["dataset"] = data
    known = spec["root"]["inputDefinitions"]["parameters"]
    wrong = [f"the package has no parameter {name!r}{near(name, known)}" for name in values.keys() - known.keys()]
    missing = [
        name for name, p in known.items() if not {"defaultValue", "isOptional"} & p.keys() and name not in values
    ]
    wrong += [f"the package wants its parameter {name!r}: give --data URI" for name in missing]
    if wrong:
        raise ConfigError("\n".join(wrong))
    return values


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


def _job_id() -> str:
    return f"homefeed-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"


def _require(module: str, extra: str) -> None:
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise DeployUsageError(f"{module} is not installed: pip install 'homefeed[{extra}]' brings it")
