"""`homefeed gateway`: the live home page on what was pushed."""

from __future__ import annotations

import logging
import pathlib
from typing import Annotated

import typer

from homefeed.pipeline.cli.terminal import Root, console
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.audit.trail import KEPT_DAYS
from homefeed.serving.gateway.auth import Keys, read_keys
from homefeed.serving.gateway.config import USER_RATE, Config
from homefeed.serving.gateway.server import serve
from homefeed.serving.process import LOG_FORMAT
from homefeed.serving.profiles.store import MAX_EXPOSURES


def gateway(
    root: Root,
    models: Annotated[str, typer.Option(help="HOST:PORT of a model server's gRPC port; empty: none.")] = "",
    port: Annotated[int, typer.Option(min=1, max=65535, help="HTTP port.")] = 8080,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="gRPC port; 0: none.")] = 0,
    host: Annotated[
        str, typer.Option(help="Address to listen on; one beyond this machine needs keys.")
    ] = "127.0.0.1",
    api_keys: Annotated[
        pathlib.Path | None,
        typer.Option(help="YAML: name: {key: …, scopes: [page, events, metrics, viewer, operator, admin]}."),
    ] = None,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="Name by which browsers may call it; may be repeated.")
    ] = None,
    allowed_origin: Annotated[
        list[str] | None, typer.Option(help="https://SITE whose pages may call it from browsers; may be repeated.")
    ] = None,
    store: Annotated[str, typer.Option(help="redis://HOST:PORT, for several gateways; empty: a file.")] = "",
    log: Annotated[
        str, typer.Option(help="kafka://HOST:PORT/TOPIC: events are answered when it has them; empty: none.")
    ] = "",
    picks: Annotated[pathlib.Path | None, typer.Option(help="The editors' choice: an item id a line.")] = None,
    rules: Annotated[
        pathlib.Path | None, typer.Option(help="YAML of what must and must not be on a page; followed while running.")
    ] = None,
    surfaces: Annotated[
        pathlib.Path | None, typer.Option(help="YAML of the kinds of pages; followed while running.")
    ] = None,
    experiments: Annotated[
        pathlib.Path | None, typer.Option(help="YAML of experiments on the pages; followed while running.")
    ] = None,
    data: Annotated[
        pathlib.Path | None, typer.Option(help="Folder with dataset.yaml: the console forgets people there as well.")
    ] = None,
    audit_days: Annotated[int, typer.Option(min=1, help="So long the audit trail is kept.")] = KEPT_DAYS,
    audit_dir: Annotated[
        pathlib.Path | None, typer.Option(help="Folder of the audit trail, where the models' may not be written to.")
    ] = None,
    budget_ms: Annotated[int, typer.Option(min=1, help="How long models may take for a page.")] = 250,
    max_in_flight: Annotated[int, typer.Option(min=1, help="Calls to the model server at the same time.")] = 8,
    whys_ahead: Annotated[
        int, typer.Option(min=0, help="Cards of a first row whose reasons are made while nothing else is to do.")
    ] = 0,
    user_rate: Annotated[
        float, typer.Option(min=0, help="Events and pages of one user a second; 0: no limit.")
    ] = USER_RATE,
    max_exposures: Annotated[
        int, typer.Option(min=1, help="Pages that are kept as they were served, 30 days at most.")
    ] = MAX_EXPOSURES,
) -> None:
    """Serve the live home page: events come in, and the next page knows them."""
    keys = read_keys(api_keys) if api_keys else Keys()
    chosen = tuple(filter(None, map(str.strip, picks.read_text(encoding="utf-8").splitlines()))) if picks else ()
    config = Config(
        RunRoot(root).pushed(),
        models,
        chosen,
        budget_ms / 1000,
        max_in_flight,
        max_exposures=max_exposures,
        store=store,
        log=log,
        user_rate=user_rate,
        rules=rules,
        surfaces=surfaces,
        experiments=experiments,
        whys_ahead=whys_ahead,
        data=data.resolve() if data else None,
        audit_days=audit_days,
        audit_dir=audit_dir,
    )

    def listening() -> None:
        console.print(f"the home page on http://{host}:{port}")

    logging.disable(logging.INFO)  # What a file of rules lacks, and why an experiment was stopped, is a warning.
    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)
    hosts, origins = tuple(allowed_host or ()), tuple(allowed_origin or ())
    serve(config, host, port, keys, hosts, origins=origins, grpc_port=grpc_port, listening=listening)
