"""What readers of experiments were shown and what they did, from sealed spans and from the live store."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import orjson
import pyarrow.parquet as pq

from homefeed.schemas.dataset import DatasetError
from homefeed.serving.experiments.metrics import Fact, facts_of
from homefeed.serving.feedback.attribution import attribute, joined, served
from homefeed.serving.feedback.export import read_pages
from homefeed.serving.feedback.layout import FEEDBACK
from homefeed.serving.profiles.live import LiveEvent
from homefeed.serving.profiles.store import LIVE_FILE_NAME, open_to_read
from homefeed.serving.profiles.transaction import Stop, read_events, read_stops


@dataclasses.dataclass
class Page:
    """A page, and what became of it.

    Attributes:
        user: who was shown it.
        at: Unix seconds.
        surface: its name.
        arms: experiment → arm.
        served_by: the rung.
        model_version: of the list; None: none.
        took_ms: to make it.
        variety: different categories by cards.
        cards: item → what became of it.
        teams: item → label of the models that chose it.
        versions: experiment → its version then; 0 where nothing is said.
    """

    user: str
    at: float
    surface: str
    arms: Mapping[str, str]
    served_by: str
    model_version: int | None
    took_ms: float
    variety: float
    cards: dict[str, set[Fact]]
    teams: Mapping[str, str]
    versions: Mapping[str, int] = dataclasses.field(default_factory=dict)


def read(data: pathlib.Path | None, serving_dir: pathlib.Path | None) -> list[Page]:
    """All pages, each once, with all that is known of them, oldest first.

    Args:
        data: folder of `dataset.yaml` with sealed spans; None, or nothing sealed in it: only what is live counts.
        serving_dir: where the live store is; None, or no store in it: only what was sealed counts.
    """
    pages = dict[str, Page]()
    if data is not None:
        with contextlib.suppress(DatasetError):
            pages = dict(_sealed(data))
    if serving_dir is not None and (serving_dir / LIVE_FILE_NAME).is_file():
        for impression_id, page in _live(serving_dir / LIVE_FILE_NAME):
            known = pages.setdefault(impression_id, page)
            for item, facts in page.cards.items():
                known.cards.setdefault(item, set()).update(facts)
    return sorted(pages.values(), key=lambda page: page.at)


def stops(serving_dir: pathlib.Path) -> list[Stop]:
    """The experiments of a live store that were stopped; none, where there is no store."""
    path = serving_dir / LIVE_FILE_NAME
    if not path.is_file():
        return []
    with contextlib.closing(open_to_read(path)) as database, contextlib.suppress(sqlite3.OperationalError):
        return read_stops(database)
    return []  # Of an earlier homefeed.


def _sealed(data: pathlib.Path) -> Iterator[tuple[str, Page]]:
    hidden = _hidden(data)
    for shown in read_pages(data):
        first = shown[0].facts
        page = first["impression_id"]
        cards = {
            card.facts["item_id"]: _facts([act.type for act in card.acts], card.facts["is_seen"])
            | hidden.get((page, card.facts["item_id"]), set())
            for card in shown
        }
        teams = {card.facts["item_id"]: card.facts["team"] for card in shown if card.facts.get("team")}
        yield (
            page,
            Page(
                first["user_id"],
                first["timestamp"].timestamp(),
                first["surface"],
                orjson.loads(first.get("arms") or "{}"),
                first["served_by"],
                first["model_version"],
                first.get("took_ms") or 0.0,
                first.get("variety") or 0.0,
                cards,
                teams,
                orjson.loads(first.get("versions") or "{}"),
            ),
        )


def _hidden(data: pathlib.Path) -> dict[tuple[str, str], set[Fact]]:
    """What sealing did not take for an interaction, such as `hide`, by page and item."""
    found = dict[tuple[str, str], set[Fact]]()
    for file in sorted((data / FEEDBACK).glob("*.parquet")):
        for row in pq.read_table(file, columns=["impression_id", "item_id", "type"]).to_pylist():
            if row["impression_id"] and row["item_id"]:
                found.setdefault((row["impression_id"], row["item_id"]), set()).update(facts_of(row["type"]))
    return found


def _live(path: pathlib.Path) -> Iterator[tuple[str, Page]]:
    with contextlib.closing(open_to_read(path)) as database:
        for (user,) in database.execute("SELECT DISTINCT user_id FROM exposures").fetchall():
            rows = database.execute("SELECT at, page FROM exposures WHERE user_id = ?", (user,)).fetchall()
            events = list(read_events(database, user))
            yield from _of_user(user, [(at, orjson.loads(page)) for at, page in rows], events)


def _of_user(
    user: str, pages: list[tuple[int, dict[str, Any]]], events: list[LiveEvent]
) -> Iterator[tuple[str, Page]]:
    shown = joined([served(page) for _, page in pages], events, attribute(events))
    for (at, page), cards in zip(pages, shown, strict=True):
        yield (
            page["impression_id"],
            Page(
                user,
                at / 1000,
                page["surface"],
                page.get("arms") or {},
                page["served_by"],
                page["model_version"],
                page.get("took_ms", 0.0),
                page.get("variety", 0.0),
                {card.item_id: _facts(card.acted, card.is_seen) for card in cards},
                page.get("teams", {}),
                page.get("versions", {}),
            ),
        )


def _facts(acted: Collection[str], is_seen: bool | None) -> set[Fact]:
    facts = {fact for kind in acted for fact in facts_of(kind)}
    return facts | {"seen"} if is_seen else facts
