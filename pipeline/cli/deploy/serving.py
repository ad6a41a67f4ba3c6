"""`homefeed deploy serving`."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from homefeed.pipeline.cli.terminal import Json, Root, console, print_json
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.deploy.render import Options, render


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
    gateway_image: Annotated[
        str, typer.Option(help="Name of the image that pipeline.Dockerfile builds.")
    ] = Options.gateway_image,
    gateway_replicas: Annotated[
        int, typer.Option(min=1, help="Of the home page; more than one need a Redis.")
    ] = Options.gateway_replicas,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="Name by which browsers call the home page; may be repeated.")
    ] = None,
    rules: Annotated[pathlib.Path | None, typer.Option(help="YAML of rules for the home page; copied.")] = None,
    surfaces: Annotated[pathlib.Path | None, typer.Option(help="YAML of surfaces; copied.")] = None,
    experiments: Annotated[pathlib.Path | None, typer.Option(help="YAML of experiments; copied.")] = None,
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
        gateway_image=gateway_image,
        gateway_replicas=gateway_replicas,
        allowed_hosts=tuple(allowed_host or ()),
        rules=rules,
        surfaces=surfaces,
        experiments=experiments,
    )
    files = [str(path) for path in render(RunRoot(root).serving, out, options)]
    print_json({"out": str(out), "files": files}) if as_json else console.print(f"{len(files)} files to {out}")
