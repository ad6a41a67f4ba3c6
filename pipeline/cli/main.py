"""The command line. Heavy libraries are imported by the verb that needs them: `--help` answers at once."""

from __future__ import annotations

import enum
import json
import os
import pathlib
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import rich.table
import rich.tree
import typer

from homefeed.pipeline.cli import data as cli_data
from homefeed.pipeline.cli import deploy as cli_deploy
from homefeed.pipeline.cli import index as cli_index
from homefeed.pipeline.cli import models as cli_models
from homefeed.pipeline.cli import retrain as cli_retrain
from homefeed.pipeline.cli import tune as cli_tune
from homefeed.pipeline.cli.terminal import Data, Json, Root, console, errors, print_json, progress, silent

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, rich_markup_mode="rich")
app.add_typer(cli_data.data_app, name="data")
app.add_typer(cli_data.schema_app, name="schema")
app.add_typer(cli_models.models_app, name="models")
app.add_typer(cli_deploy.deploy_app, name="deploy")
app.add_typer(cli_index.index_app, name="index")
app.command()(cli_data.drift)
app.command()(cli_data.forget)
app.command()(cli_tune.tune)
app.command()(cli_retrain.retrain)


class Engine(enum.StrEnum):
    """Which model server answers."""

    HOMEFEED = "homefeed"
    TENSORFLOW_SERVING = "tensorflow-serving"


@app.callback()
def homefeed() -> None:
    """From three tables to a served, personal home page."""


@app.command()
def run(
    data: Data,
    root: Root,
    config: Annotated[pathlib.Path | None, typer.Option(help="YAML: component: {field: value}.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="component.field=value; may be repeated.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="The last component to run.")] = None,
    metadata: Annotated[
        str | None, typer.Option(help="ML Metadata: a SQLite path or mysql://user:password@host/database.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the whole pipeline; what is already done is not done again."""
    from homefeed.components.artifacts.types import DatasetDir
    from homefeed.pipeline.config import load_config
    from homefeed.pipeline.recommender import recommender
    from homefeed.pipeline.runner.local_runner import run_pipeline
    from homefeed.schemas.dataset import load_dataset

    name = load_dataset(data).name
    dag = recommender(DatasetDir(data.resolve()))
    defaults = {"pusher": {"serving_dir": str(root.resolve() / "serving")}}
    configs = load_config(dag, config, settings or (), defaults)
    observer = silent if as_json else progress
    steps = run_pipeline(dag, configs, root.resolve(), name=name, observer=observer, until=until, metadata=metadata)
    if as_json:
        print_json([vars(step) for step in steps])


@app.command()
def component(
    name: Annotated[str, typer.Argument(help="Such as example_gen.")],
    inputs: Annotated[list[str] | None, typer.Option("--input", help="name=FOLDER; one for each input.")] = None,
    outputs: Annotated[list[str] | None, typer.Option("--output", help="name=FOLDER; one for each output.")] = None,
    config: Annotated[list[str] | None, typer.Option("--config", help="field=value; may be repeated.")] = None,
    verdicts: Annotated[
        list[str] | None,
        typer.Option("--verdict", help="gate=FILE that gets open or closed, instead of exit code 1."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove what lies in the outputs.")] = False,
    executor_output: Annotated[
        pathlib.Path | None, typer.Option(help="File that gets the outputs as Kubeflow wants them.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run one component by itself: what a container of the pipeline does."""
    from homefeed.pipeline.runner.entry_point import named_paths, run_component

    summary = run_component(
        name,
        named_paths("input", inputs or ()),
        named_paths("output", outputs or ()),
        config or (),
        named_paths("verdict", verdicts or ()),
        overwrite,
        executor_output,
    )
    print_json({"component": name, "summary": summary}) if as_json else console.print(f"{name}: {summary}")


@app.command()
def recommend(
    user: Annotated[str, typer.Option(help="User id; an unknown one is served too.")],
    root: Annotated[pathlib.Path | None, typer.Option(help="Root of a finished run: models, profiles.")] = None,
    server: Annotated[str | None, typer.Option(help="HOST:PORT of a model server's gRPC port.")] = None,
    history: Annotated[
        str | None, typer.Option(help="Item ids, oldest first, by comma; replaces the stored history.")
    ] = None,
    query: Annotated[str, typer.Option(help="Text to search for; needs --root, for the vocabulary.")] = "",
    k: Annotated[int, typer.Option("-k", min=1, max=100)] = 10,
    as_json: Json = False,
) -> None:
    """Print the best items for a user, with the titles and the history they follow from."""
    import dataclasses

    from homefeed.models.requests import Event, Request
    from homefeed.serving.profiles import FILE_NAME, ProfileStore
    from homefeed.serving.recommender import Recommender

    if root is None and server is None:
        raise typer.BadParameter("give --root, --server or both")
    if query and root is None:
        raise typer.BadParameter("--query needs --root, where the vocabulary is")
    profiles = ProfileStore(root / "serving" / FILE_NAME) if root else None
    request = profiles.get(user) if profiles else Request(user)
    if history is not None:
        events = [Event(item_id) for item_id in history.split(",") if item_id]
        request = Request(user, events, request.features)
    if query and root:
        request = dataclasses.replace(request, query_token_ids=_tokenizer(root)(query))
    (page,) = Recommender(_predictor(root, server)).recommend([request], k)
    if as_json:
        print_json({"user_id": user, "recommendations": [vars(place) for place in page]})
        return
    recent = [event.item_id for event in request.history[-10:]]
    _print_page(request, profiles.titles(recent) if profiles else recent, page)


@app.command("batch-recommend")
def batch_recommend(
    root: Root,
    users: Annotated[pathlib.Path, typer.Option(help='JSON lines: {"user_id": …, "history": […]}.')],
    out: Annotated[pathlib.Path, typer.Option(help="JSON lines: user_id, items, scores.")],
    k: Annotated[int, typer.Option("--k", "-k", min=1)] = 10,
    as_json: Json = False,
) -> None:
    """Recommend for every user of a file."""
    from homefeed.serving.batch import read_requests, recommend_all
    from homefeed.serving.profiles import FILE_NAME, ProfileStore
    from homefeed.serving.recommender import Recommender

    recommender = Recommender(_predictor(root, None), num_candidates=max(100, k))
    profiles = ProfileStore(root / "serving" / FILE_NAME)
    staging = out.with_name(f".{out.name}.tmp")
    count = 0
    with users.open(encoding="utf-8") as lines, staging.open("w", encoding="utf-8") as file:
        for row in recommend_all(recommender, read_requests(lines, profiles, _tokenizer(root)), k):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    staging.rename(out)
    print_json({"users": count, "out": str(out)}) if as_json else console.print(f"{count:,} users to {out}")


@app.command()
def serve(
    root: Root,
    port: Annotated[int, typer.Option(help="gRPC port.")] = 8500,
    rest_port: Annotated[int, typer.Option(help="REST port; 0 for none.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    engine: Annotated[
        Engine, typer.Option(help="homefeed's own server, or tensorflow_model_server from PATH.")
    ] = Engine.HOMEFEED,
) -> None:
    """Serve the pushed models; new versions, promotions and rollbacks are picked up while running."""
    from homefeed.serving.process import server_command, server_flags
    from homefeed.serving.releases import Releases

    serving_dir = _pushed(root)
    Releases(serving_dir).configure()
    command = server_command(engine.value, server_flags(str(serving_dir), port, rest_port), host)
    console.print(f"gRPC on {host}:{port}" + (f", REST on {host}:{rest_port}" if rest_port else ""))
    sys.stdout.flush()
    os.execv(command[0], command)  # The server gets our process, and so its signals.


@app.command()
def evaluate(root: Root, as_json: Json = False) -> None:
    """Print the figures of the last evaluation and the verdict on its models."""
    from homefeed.components.artifacts.types import ModelBlessing, ModelEvaluation
    from homefeed.pipeline.runner.metadata import MetadataStore

    store = MetadataStore(str(_metadata_file(root)))
    evaluation, blessing = store.latest("ModelEvaluation"), store.latest("ModelBlessing")
    if evaluation is None or blessing is None:
        raise FileNotFoundError(f"{root} holds no evaluation yet: `homefeed run --root {root}` makes one")
    reasons = ModelBlessing(blessing.path).reasons()
    report = ModelEvaluation(evaluation.path).read_json("metrics.json")
    if as_json:
        print_json({"metrics": report, "blessed": not reasons, "reasons": reasons, "report": evaluation.path})
    else:
        _print_metrics(report)
        console.print(f"report: {evaluation.path}/report.html", soft_wrap=True)
        console.print("blessed" if not reasons else "not blessed: " + "; ".join(reasons))
    if reasons:
        raise typer.Exit(1)


@app.command()
def lineage(
    root: Root,
    artifact: Annotated[
        str, typer.Argument(metavar="MODEL", help="A pushed version (3, ranking/3), or a type: its newest artifact.")
    ] = "PushedModel",
    as_json: Json = False,
) -> None:
    """Show what pushed models, or any artifact, were made from: data, spans, code, configuration, parents."""
    from homefeed.pipeline.runner.lineage import summarize, trace

    found = trace(str(_metadata_file(root)), artifact)
    if found["type"] == "PushedModel":
        found |= {"summary": summarize(found)}
    if as_json:
        print_json(found)
        return
    if "summary" in found:
        _print_summary(found["summary"])
    tree = rich.tree.Tree(_lineage_label(found))
    _grow(tree, found)
    console.print(tree)


def main() -> None:
    """Entry point: runs a verb and turns the errors that a user can mend into one line and an exit code."""
    _silence_frameworks()
    try:
        app()
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        errors.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        errors.print(str(error), markup=False, soft_wrap=True)
        sys.exit(code)


def _exit_code(error: Exception) -> int | None:
    """1: the work failed or a gate said no. 2: it was asked for wrongly. None: a fault of ours."""
    from homefeed.components.artifacts.types import ArtifactError, GateClosed
    from homefeed.pipeline.config import ConfigError
    from homefeed.pipeline.deploy.vertex import DeployError, DeployUsageError
    from homefeed.pipeline.runner.local_runner import RunError
    from homefeed.schemas.dataset import DatasetError
    from homefeed.serving.batch import LineError
    from homefeed.serving.deploy.render import RenderError
    from homefeed.serving.process import ServerError
    from homefeed.serving.releases import ReleaseError

    if isinstance(error, ConfigError | DeployUsageError):
        return 2
    failures = (
        ArtifactError,
        DatasetError,
        DeployError,
        FileNotFoundError,
        GateClosed,
        LineError,
        ReleaseError,
        RenderError,
        RunError,
        ServerError,
    )
    if isinstance(error, failures) or type(error).__module__.startswith("homefeed_client"):
        return 1
    return None


def _silence_frameworks() -> None:
    """What TensorFlow, Beam and their dependencies say of themselves is not for our users."""
    import logging

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    warnings.simplefilter("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    logging.disable(logging.WARNING)


def _predictor(root: pathlib.Path | None, server: str | None) -> Any:
    from homefeed.serving.predictors import GrpcPredictor, LocalPredictor
    from homefeed.serving.recommender import FUSED, RANKING, RETRIEVAL
    from homefeed.serving.releases import Releases

    if server is not None:
        predictor = GrpcPredictor(server)
        for model in (RETRIEVAL, RANKING):
            predictor.client.wait_until_available(model, timeout_seconds=60)
        return predictor
    assert root is not None
    releases = Releases(_pushed(root))
    version = releases.stable()
    # The fused model holds the other two.
    models = (FUSED,) if FUSED in releases.models() else (RETRIEVAL, RANKING)
    return LocalPredictor({name: pathlib.Path(releases.path(name, version)) for name in models})


def _tokenizer(root: pathlib.Path) -> Callable[[str], Any]:
    from homefeed.serving.queries import query_tokenizer
    from homefeed.serving.recommender import RETRIEVAL
    from homefeed.serving.releases import Releases

    releases = Releases(_pushed(root))
    return query_tokenizer(pathlib.Path(releases.path(RETRIEVAL, releases.stable())))


def _pushed(root: pathlib.Path) -> pathlib.Path:
    serving_dir = root / "serving"
    if not serving_dir.is_dir():
        raise FileNotFoundError(f"{root} holds no pushed models yet: `homefeed run --root {root}` pushes them")
    return serving_dir.resolve()


def _metadata_file(root: pathlib.Path) -> pathlib.Path:
    path = root / "metadata.sqlite"
    if not path.is_file():
        raise FileNotFoundError(f"{root} holds no run yet: `homefeed run --root {root}` makes one")
    return path


def _print_page(request: Any, recent_titles: list[str], page: list[Any]) -> None:
    table = rich.table.Table(title=f"For user {request.user_id}", title_justify="left")
    for column in ("", "recommended", "P(liked)", "recent history, newest first"):
        table.add_column(column)
    recent = recent_titles[::-1]
    for place in range(max(len(page), len(recent))):
        shown = page[place] if place < len(page) else None
        table.add_row(
            str(place + 1),
            shown.title or shown.item_id if shown else "",
            f"{shown.probability:.2f}" if shown else "",
            recent[place] if place < len(recent) else "",
        )
    console.print(table)


def _print_metrics(report: dict[str, dict[str, dict[str, float]]]) -> None:
    for split, methods in report.items():
        names = list(next(iter(methods.values())))
        table = rich.table.Table("method", *names, title=split, title_justify="left")
        for method, figures in methods.items():
            table.add_row(method, *(f"{figures[name]:.4g}" for name in names))
        console.print(table)


def _print_summary(summary: dict[str, Any]) -> None:
    table = rich.table.Table(title=f"Version {summary['version']}", title_justify="left", show_header=False)
    for place in summary["dataset"]:
        table.add_row("data", f"{place['path']} ({place['digest'][:12]})")
    table.add_row("spans", ", ".join(summary["spans"]) or "all")
    table.add_row("parents", ", ".join(f"version {version}" for version in summary["parents"]) or "none")
    for split, methods in (summary["metrics"] or {}).items():
        figures = ", ".join(f"{method} {figure:.4f}" for method, figure in methods.items())
        table.add_row(f"NDCG@10 on {split}", figures)
    for name, version in summary["code_version"].items():
        config = ", ".join(f"{field}={value}" for field, value in summary["config"][name].items() if value != "")
        table.add_row(name, f"code {version[:12]}; {config}")
    console.print(table)


def _lineage_label(node: dict[str, Any]) -> str:
    made = node.get("made_by")
    by = f" ← [bold]{made['component']}[/] {made['finished_at']} {made['summary']}" if made else " (from outside)"
    return f"{node['type']} {node['digest'][:12]}{by}"


def _grow(tree: rich.tree.Tree, node: dict[str, Any]) -> None:
    for name, source in (node.get("made_by") or {}).get("inputs", {}).items():
        _grow(tree.add(f"{name}: {_lineage_label(source)}"), source)
