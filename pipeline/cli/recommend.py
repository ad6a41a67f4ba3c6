"""`homefeed recommend` and `batch-recommend`: lists from pushed models, here or at a server."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, TextIO

import rich.table
import rich.text
import typer

from homefeed.models.requests import Event, Request
from homefeed.pipeline.cli.terminal import Json, Root, console, errors, print_json
from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas import times
from homefeed.schemas.objectives import INTERACTIONS
from homefeed.serving.batch import read_requests, recommend_all
from homefeed.serving.predictors import GrpcPredictor, LocalPredictor, Predictor
from homefeed.serving.profiles import ProfileStore
from homefeed.serving.queries import query_tokenizer
from homefeed.serving.reasons import Reasons, reasons_for
from homefeed.serving.recommender import FUSED, RETRIEVAL, Recommendation, Recommender
from homefeed.serving.releases import Releases

NUM_SHOWN = 10  # Events of the history that are printed.
P_LIKED = "P(liked): the chance that it is liked, if chosen"


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
    objective: Annotated[
        str, typer.Option(help="What to sort for: interactions, likes, or the one that dataset.yaml declares.")
    ] = "",
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
    request = dataclasses.replace(request, objective=objective)
    predictor = _predictor(root, server, wait)
    (page,) = Recommender(predictor).recommend([request], k)
    if profiles and server:
        _check_titles(page, profiles, f"the server at {server}", root)
    recent = list(dict.fromkeys(event.item_id for event in reversed(request.history)))[:NUM_SHOWN]
    reasons = reasons_for(predictor, [place.item_id for place in page], recent)
    notes = list(_notes(request, page, reasons, query, has_profiles=profiles is not None))
    if as_json:
        because = [vars(place) | {"because_of": reasons.because_of.get(place.item_id)} for place in page]
        print_json({"user_id": user, "recommendations": because, "notes": notes})
        return
    for note in notes:
        errors.print(f"note: {note}", style="yellow", soft_wrap=True)
    titles = dict(zip(recent, profiles.titles(recent) if profiles else recent, strict=True))
    _print_page(user, page, reasons, titles)


def batch_recommend(
    root: Root,
    users: Annotated[pathlib.Path, typer.Option(help='JSON lines: {"user_id": …, "history": [ids or events]}.')],
    out: Annotated[pathlib.Path, typer.Option(help="JSON lines: user_id, items, scores.")],
    k: Annotated[int, typer.Option("--k", "-k", min=1)] = 10,
    at: At = "",
    as_json: Json = False,
) -> None:
    """Recommend for every user of a file."""
    recommender = Recommender(_local(root, FUSED))
    profiles = ProfileStore(RunRoot(root).profiles)
    count = 0
    with users.open(encoding="utf-8") as lines, _written_whole(out) as file:
        for row in recommend_all(recommender, read_requests(lines, profiles, _tokenizer(root), _seconds(at)), k):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    print_json({"users": count, "out": str(out)}) if as_json else console.print(f"{count:,} users to {out}")


@contextlib.contextmanager
def _written_whole(out: pathlib.Path) -> Iterator[TextIO]:
    """A file that is at its place when the block has ended well, and not before."""
    staging = out.with_name(f".{out.name}.tmp")
    try:
        with staging.open("w", encoding="utf-8") as file:
            yield file
        staging.replace(out)
    except OSError as error:
        with contextlib.suppress(OSError):
            staging.unlink()
        if error.filename in (None, str(staging)):
            raise RunError(f"{out} cannot be written: {error.strerror or error}") from error
        raise


def _predictor(root: pathlib.Path | None, server: str | None, wait: float) -> Predictor:
    if server is not None:
        predictor = GrpcPredictor(server)
        predictor.wait_for(FUSED, wait)
        return predictor
    assert root is not None
    return _local(root, FUSED, RETRIEVAL)


def _local(root: pathlib.Path, *models: str) -> LocalPredictor:
    releases = Releases(RunRoot(root).pushed())
    stable = releases.stable()
    return LocalPredictor({model: pathlib.Path(releases.path(model, stable)) for model in models})


def _tokenizer(root: pathlib.Path) -> Callable[[str], Any]:
    releases = Releases(RunRoot(root).pushed())
    return query_tokenizer(pathlib.Path(releases.path(RETRIEVAL, releases.stable())))


def _check_titles(
    page: Sequence[Recommendation], profiles: ProfileStore, server: str, root: pathlib.Path | None
) -> None:
    """Whether the server has the catalogue that the profiles are about."""
    here = profiles.titles(place.item_id for place in page)
    for place, title in zip(page, here, strict=True):
        if (place.title or place.item_id) != title:
            raise RunError(
                f"{server} does not serve the models of {root}: item {place.item_id!r} is {place.title!r} there and "
                f"{title!r} here; leave out --root, or ask the server that `homefeed serve --root {root}` starts"
            )


def _notes(
    request: Request, page: Sequence[Recommendation], reasons: Reasons, query: str, has_profiles: bool
) -> list[str]:
    """What else would be passed over in silence."""
    source = page[0].source if page else ""
    notes = []
    if reasons.unknown:
        notes.append(f"the models do not know {', '.join(map(repr, reasons.unknown))} of the history")
    if source in ("popular", "query"):
        mend = "" if has_profiles else ": --root has profiles, --history tells what they did"
        shown = "popular" if source == "popular" else "found by the query"
        notes.append(f"nothing is known of user {request.user_id!r}{mend}; this is what is {shown}")
    if query and "query" not in source:
        notes.append(f"no item has a word of the query {query!r}; the list is made from {source or 'nothing'}")
    if not page:
        notes.append("no item is left that this user has not had")
    return notes


def _sorted_by(objective: str) -> str:
    if objective in ("", INTERACTIONS):
        return f"sorted by score: how likely each comes next; {P_LIKED}"
    worth = "P(liked)" if objective == "likes" else "value, what it is expected to be worth if chosen"
    return f"sorted for {objective}: score adds up how likely each comes next and its {worth}; {P_LIKED}"


def _print_page(user: str, page: Sequence[Recommendation], reasons: Reasons, recent: dict[str, str]) -> None:
    source = f", from: {page[0].source}" if page else ""
    objective = page[0].objective if page else ""
    has_values = objective not in ("", INTERACTIONS, "likes")  # Of likes the value is P(liked).
    table = rich.table.Table(
        title=f"For user {user}{source}", title_justify="left", caption=_sorted_by(objective), caption_justify="left"
    )
    numbers = ("", "score", "P(liked)", *(["value"] if has_values else []))
    for column in ("", "recommended", *numbers[1:], "because of"):
        table.add_column(column, justify="right" if column in numbers else "left")
    for number, place in enumerate(page, start=1):
        because = reasons.because_of.get(place.item_id, "")
        figures = [f"{place.score:.2f}", f"{place.probability:.2f}", *([f"{place.value:.2f}"] if has_values else [])]
        cells = (str(number), place.title or place.item_id, *figures, recent.get(because, "") or place.source)
        table.add_row(*map(rich.text.Text, cells))
    console.print(table)
    if recent:
        console.print(f"History, newest first: {' · '.join(recent.values())}", soft_wrap=True)
