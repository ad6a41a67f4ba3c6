"""The verbs on data: make it, draw it, compare it, forget a person."""

from __future__ import annotations

import dataclasses
import enum
import pathlib
from typing import Annotated, Any

import typer

from homefeed.pipeline import forget as forgetting
from homefeed.pipeline.cli.terminal import AuditDir, Json, Metadata, console, print_json, require_folder
from homefeed.pipeline.datasets import amazon, book_crossing, mind, movielens_files
from homefeed.pipeline.datasets.movielens import write_movielens_100k
from homefeed.pipeline.datasets.sample import write_news, write_sample, write_weeks

data_app = typer.Typer(no_args_is_help=True, help="Make a dataset: three tables and a dataset.yaml.")

Out = Annotated[pathlib.Path, typer.Option(help="Folder to write; made if missing.")]


@data_app.command("movielens-100k")
def movielens(
    out: Out,
    source: Annotated[
        str | None, typer.Option("--from", help="The archive, or a folder with it: a path or a URL.")
    ] = None,
    as_json: Json = False,
) -> None:
    """MovieLens-100K: 943 people, 1,682 films, 100,000 ratings."""
    came_from = write_movielens_100k(out, source)
    print_json({"out": str(out), "from": came_from}) if as_json else console.print(f"wrote {out} from {came_from}")


class Kind(enum.StrEnum):
    """What is simulated."""

    STORE = "store"
    NEWS = "news"


@data_app.command("sample")
def sample(
    out: Out,
    kind: Annotated[Kind, typer.Option(help="A store, or a news site, whose items live for a day.")] = Kind.STORE,
    users: Annotated[
        int | None, typer.Option(min=1, help="Of a store 300, with --weeks 500, of a news site 1,000.")
    ] = None,
    items: Annotated[int | None, typer.Option(min=2, help="400, or 6,000.")] = None,
    events: Annotated[int | None, typer.Option(min=1, help="12,000, with --weeks 24,000, or 60,000.")] = None,
    weeks: Annotated[int, typer.Option(min=0, max=12, help="Spans of a week, of a store that changes; 0: none.")] = 0,
    impressions: Annotated[
        bool, typer.Option("--impressions", help="Show pages, and write what was shown as exposures.csv.")
    ] = False,
    live: Annotated[bool, typer.Option("--live", help="Take spans of what comes to the home page.")] = False,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """A simulated site with texts in English and Chinese and a known taste behind each user."""
    if sum(map(bool, (weeks, impressions, live))) > 1:
        raise typer.BadParameter("--weeks, --impressions and --live are different stores: give one of them")
    if kind == Kind.NEWS and (weeks or impressions or live):
        raise typer.BadParameter("--weeks, --impressions and --live are of a store: leave them out, or --kind news")
    asked = {"num_users": users, "num_items": items, "num_events": events}
    sizes: dict[str, Any] = {name: size for name, size in asked.items() if size is not None}
    try:
        if kind == Kind.NEWS:
            write_news(out, **sizes, seed=seed)
        elif weeks:
            write_weeks(out, num_weeks=weeks, **sizes, seed=seed)
        else:
            write_sample(out, **sizes, seed=seed, impressions=impressions, live=live)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    print_json({"out": str(out)}) if as_json else console.print(f"wrote {out}")


Folder = Annotated[pathlib.Path, typer.Option("--from", help="Folder of the unpacked files; nothing is fetched.")]


@data_app.command("movielens")
def make_movielens(out: Out, source: Folder, as_json: Json = False) -> None:
    """MovieLens of any size that you have: 100K, 1M, 10M, 20M, 25M, 32M, latest. For research."""
    _made(out, movielens_files.write_movielens(out, source), movielens_files.LICENCE, as_json)


@data_app.command("mind")
def make_mind(out: Out, source: Folder, as_json: Json = False) -> None:
    """MIND that you have: news, what was on a page and what of it was clicked. For research."""
    _made(out, mind.write_mind(out, source), mind.LICENCE, as_json)


@data_app.command("amazon")
def make_amazon(out: Out, source: Folder, as_json: Json = False) -> None:
    """Amazon reviews 2023 that you have: one category or several. For research."""
    _made(out, amazon.write_amazon(out, source), amazon.LICENCE, as_json)


@data_app.command("book-crossing")
def make_book_crossing(out: Out, source: Folder, as_json: Json = False) -> None:
    """Book-Crossing that you have: ratings of books, without times. For research."""
    _made(out, book_crossing.write_book_crossing(out, source), book_crossing.LICENCE, as_json)


def _made(out: pathlib.Path, what: str, licence: str, as_json: bool) -> None:
    """Says what was written, and what may be done with it."""
    if as_json:
        print_json({"out": str(out), "made": what, "licence": licence})
    else:
        console.print(f"wrote {out}: {what}\n{licence}", soft_wrap=True)


@data_app.command("page")
def page(
    data: Annotated[str, typer.Option(help="Folder with dataset.yaml; DIR@SPANS for some spans; or Examples.")],
    out: Annotated[pathlib.Path, typer.Option(help="HTML file to write.")],
    as_json: Json = False,
) -> None:
    """Draw a dataset: activity, time, values, missing ones. A run writes the same page beside its anomalies."""
    from homefeed.components.example_validator.dataset_page import write_page

    write_page(data, out)
    print_json({"out": str(out)}) if as_json else console.print(f"wrote {out}")


def drift(
    baseline: Annotated[
        str,
        typer.Option(help="Data folder (DIR@SPANS for some spans), Examples, TFDV statistics or a log of requests."),
    ],
    current: Annotated[str, typer.Option(help="The same.")],
    schema: Annotated[
        pathlib.Path | None, typer.Option(help="Schema file or folder whose drift comparators set thresholds.")
    ] = None,
    thresholds: Annotated[
        list[str] | None, typer.Option("--threshold", help="table.column:distance=value; may be repeated.")
    ] = None,
    html: Annotated[pathlib.Path | None, typer.Option(help="Also write a self-contained HTML report.")] = None,
    as_json: Json = False,
) -> None:
    """Compare two datasets: every distance with its threshold, quiet or not. Exit 1 on drift."""
    from homefeed.components.drift.compare import run_drift

    report = run_drift(baseline, current, schema, dict(map(_parse_threshold, thresholds or ())))
    report.write(html_path=html)
    print_json(report.to_json()) if as_json else print(report.to_text())
    if report.drifted:
        raise typer.Exit(1)


def _parse_threshold(text: str) -> tuple[str, float]:
    name, _, value = text.rpartition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} should read table.column:distance=value") from error


def forget(
    user: Annotated[str, typer.Argument(help="User id, as it is in the tables.")],
    data: Annotated[pathlib.Path | None, typer.Option(help="Folder whose tables are rewritten.")] = None,
    root: Annotated[pathlib.Path | None, typer.Option(help="Root of runs; where they pushed to is known.")] = None,
    metadata: Metadata = None,
    user_key: Annotated[str, typer.Option(help="env:NAME or file:PATH of a key, besides those that runs used.")] = "",
    store: Annotated[str, typer.Option(help="redis://HOST:PORT, where gateways keep live profiles.")] = "",
    audit_dir: AuditDir = None,
    as_json: Json = False,
) -> None:
    """Remove a person from tables, artifacts and profiles; name the models trained with them."""
    if data is None and root is None and not store:
        raise typer.BadParameter("give --data, --root, --store or several of them")
    require_folder(audit_dir)
    if audit_dir and root is None:
        raise typer.BadParameter("--audit-dir is of gateways of a root: give --root as well")
    done = forgetting.forget(user, data, root, user_key, metadata, store, audit_dir)
    if as_json:
        print_json(dataclasses.asdict(done))
    else:
        for path, count in done.removed.items():
            console.print(f"{count:>6,}  {path}", soft_wrap=True)
        for model in done.models:
            console.print(f"trained with this person: {model}", soft_wrap=True)
    if done.traces:
        console.print("still found in: " + ", ".join(done.traces), soft_wrap=True)
        raise typer.Exit(1)
