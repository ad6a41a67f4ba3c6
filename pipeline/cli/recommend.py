"""`homefeed recommend` and `batch-recommend`: lists from pushed models, here or at a server."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable
from typing import Annotated, Any

import rich.table
import typer

from homefeed.models.requests import Event, Request
from homefeed.pipeline.cli.terminal import Json, Root, console, print_json
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas import times
from homefeed.serving.batch import read_requests, recommend_all
from homefeed.serving.predictors import GrpcPredictor, LocalPredictor
from homefeed.serving.profiles import ProfileStore
from homefeed.serving.queries import query_tokenizer
from homefeed.serving.recommender import FUSED, RETRIEVAL, Recommender
from homefeed.serving.releases import Releases


def _check_time(text: str) -> str:
    if text and times.moment(text) is None:
        raise typer.BadParameter(f"expected a time such as 2024-01-31T18:00 or Unix seconds, got {text!r}")
    return text


At = Annotated[str, typer.Option(help="Time of the request, ISO 8601 or Unix; default: now.", callback=_check_time)]


def _seconds(at: str) -> int:
    found = times.moment(at) if at else None
    return int(time.time()) if found is None else found


def recommend(
    user: Annotated[str, typer.Option(help="User id; an unknown one is served too.")],
    root: Annotated[pathlib.Path | None, typer.Option(help="Root of a finished run: models, profiles.")] = None,
    server: Annotated[str | None, typer.Option(help="HOST:PORT of a model server's gRPC port.")] = None,
    history: Annotated[
        str | None, typer.Option(help="Item ids, oldest first, by comma; replaces the stored history.")
    ] = None,
    query: Annotated[str, typer.Option(help="Text to search for; needs --root, for the vocabulary.")] = "",
    k: Annotated[int, typer.Option("-k", min=1)] = 10,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a server that is starting.")] = 5.0,
    at: At = "",
    as_json: Json = False,
) -> None:
    """Print the best items for a user, with the titles and the history they follow from."""
    if root is None and server is None:
        raise typer.BadParameter("give --root, --server or both")
    if query and root is None:
        raise typer.BadParameter("--query needs --root, where the vocabulary is")
    profiles = ProfileStore(RunRoot(root).profiles) if root else None
    now = _seconds(at)
    request = profiles.get(user, now) if profiles else Request(user, timestamp=now)
    if history is not None:
        events = [Event(item_id) for item_id in history.split(",") if item_id]
        request = dataclasses.replace(request, history=events)
    if query and root:
        request = dataclasses.replace(request, query_token_ids=_tokenizer(root)(query))
    (page,) = Recommender(_predictor(root, server, wait)).recommend([request], k)
    if as_json:
        print_json({"user_id": user, "recommendations": [vars(place) for place in page]})
        return
    recent = [event.item_id for event in request.history[-10:]]
    _print_page(request, profiles.titles(recent) if profiles else recent, page)


def batch_recommend(
    root: Root,
    users: Annotated[pathlib.Path, typer.Option(help='JSON lines: {"user_id": …, "history": [ids or events]}.')],
    out: Annotated[pathlib.Path, typer.Option(help="JSON lines: user_id, items, scores.")],
    k: Annotated[int, typer.Option("--k", "-k", min=1)] = 10,
    at: At = "",
    as_json: Json = False,
) -> None:
    """Recommend for every user of a file."""
    recommender = Recommender(_predictor(root))
    profiles = ProfileStore(RunRoot(root).profiles)
    staging = out.with_name(f".{out.name}.tmp")
    count = 0
    with users.open(encoding="utf-8") as lines, staging.open("w", encoding="utf-8") as file:
        for row in recommend_all(recommender, read_requests(lines, profiles, _tokenizer(root), _seconds(at)), k):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    staging.rename(out)
    print_json({"users": count, "out": str(out)}) if as_json else console.print(f"{count:,} users to {out}")


def _predictor(root: pathlib.Path | None, server: str | None = None, wait_seconds: float = 0.0) -> Any:
    if server is not None:
        predictor = GrpcPredictor(server)
        predictor.client.wait_until_available(FUSED, timeout_seconds=wait_seconds)
        return predictor
    assert root is not None
    releases = Releases(RunRoot(root).pushed())
    return LocalPredictor({FUSED: pathlib.Path(releases.path(FUSED, releases.stable()))})


def _tokenizer(root: pathlib.Path) -> Callable[[str], Any]:
    releases = Releases(RunRoot(root).pushed())
    return query_tokenizer(pathlib.Path(releases.path(RETRIEVAL, releases.stable())))


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
