"""Rows of a span: what of a user's events and pages is an interaction, what an exposure, and the rest."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from homefeed.schemas.columns import Feature, TableName
from homefeed.schemas.dataset import Dataset
from homefeed.serving.feedback.attribution import Card, attribute, is_action, joined, served
from homefeed.serving.feedback.layout import FEEDBACK, Layout
from homefeed.serving.profiles.live import FEEDBACK as TAKEN_BACK
from homefeed.serving.profiles.live import HIDING, LiveEvent

Row = dict[str, Any]
TIME = pa.timestamp("s", "UTC")
OF_EVERY_SPAN = ("user_id", "item_id", "timestamp", "event_id", "impression_id", "position")
_INTERACTIONS = {
    "user_id": pa.string(),
    "item_id": pa.string(),
    "timestamp": TIME,
    "event_type": pa.string(),
    "value": pa.float64(),
    "query": pa.string(),
    "event_id": pa.string(),
    "impression_id": pa.string(),
    "position": pa.int32(),
}
EXPOSURES = {
    "impression_id": pa.string(),
    "user_id": pa.string(),
    "item_id": pa.string(),
    "timestamp": TIME,
    "position": pa.int32(),
    "propensity": pa.float64(),
    "is_seen": pa.bool_(),
    "row": pa.string(),
    "found_by": pa.string(),
    "surface": pa.string(),
    "served_by": pa.string(),
    "model_version": pa.int64(),
    "rules_version": pa.string(),
    "arms": pa.string(),
    "versions": pa.string(),
    "team": pa.string(),
    "took_ms": pa.float64(),
    "variety": pa.float64(),
}
OF_EXPERIMENTS = ("arms", "versions", "team", "took_ms", "variety")
"""Columns of exposures that spans of earlier versions have not."""
_REST = {
    "event_id": pa.string(),
    "user_id": pa.string(),
    "type": pa.string(),
    "timestamp": TIME,
    "received_at": pa.timestamp("ms", "UTC"),
    "item_id": pa.string(),
    "value": pa.float64(),
    "query": pa.string(),
    "tag": pa.string(),
    "impression_id": pa.string(),
    "position": pa.int32(),
    "settings": pa.string(),
    "features": pa.string(),
}


@dataclasses.dataclass(frozen=True)
class OfUser:
    """What a user has in a span, and what is known beside it.

    Attributes:
        user_id: who.
        events: all of theirs that are kept, of this span and earlier ones, in the order of arrival.
        ids: of those that are in the span.
        pages: Unix milliseconds and content of those that are in the span.
    """

    user_id: str
    events: Sequence[LiveEvent]
    ids: Collection[str]
    pages: Sequence[tuple[int, Mapping[str, Any]]]


def schemas(layout: Layout) -> dict[str, pa.Schema]:
    """Table → columns of a span, by the names that the files have for them; the rest of the events, too."""
    interactions = {
        name: kind
        for name, kind in _INTERACTIONS.items()
        if name in OF_EVERY_SPAN or layout.columns is None or name in layout.columns
    } | dict.fromkeys(layout.dataset.interactions.features.keys() - _INTERACTIONS.keys(), pa.string())
    return {
        "exposures": _renamed(layout.dataset, "exposures", EXPOSURES),
        FEEDBACK: pa.schema(list(_REST.items())),
        "interactions": _renamed(layout.dataset, "interactions", dict(sorted(interactions.items()))),
    }


def rows_of(one: OfUser, layout: Layout, left_out: collections.Counter[str]) -> dict[str, list[Row]]:
    """Table → rows of a user, by our names; counts the values that the data do not admit by their columns."""
    owed = attribute(one.events)
    mine = [event for event in one.events if event.event_id in one.ids]
    taken_back = _taken_back(mine)
    interactions, rest = list[Row](), list[Row]()
    for event in mine:
        page = owed.get(event.event_id)
        if event.event_id not in taken_back and is_interaction(event, layout.event_types):
            row, declared = _interaction(event, page), layout.dataset.event_features
            # Whoever sends what the data do not admit must not stop the training.
            bad = [name for name, value in row.items() if name in declared and not _fits(value, declared[name])]
            left_out.update(bad)
            interactions.append({name: value for name, value in row.items() if name not in bad})
        else:
            rest.append(_rest(event, page))
    pages = joined([served(page) for _, page in one.pages], one.events, owed)
    exposures = [
        _exposure(card, one.user_id, at, page)
        for (at, page), cards in zip(one.pages, pages, strict=True)
        for card in cards
        if card.is_seen is not False  # Where nobody tells what is seen, all may have been.
    ]
    return {"exposures": exposures, FEEDBACK: rest, "interactions": interactions}


def is_interaction(event: LiveEvent, event_types: Collection[str] | None) -> bool:
    """Whether an event is one of those that models learn from: of what was hidden, they only do if they are told."""
    is_known = event.type not in HIDING if event_types is None else event.type in event_types
    return is_action(event) and is_known


def table_of(rows: Iterable[Row], schema: pa.Schema, names: Mapping[str, str]) -> pa.Table:
    """Rows as a table.

    Args:
        rows: by our names.
        schema: of the file.
        names: our name → the file's.
    """
    own = {names.get(name, name): name for name in {*_INTERACTIONS, *EXPOSURES, *_REST, *names}}
    columns = [[row.get(own.get(field.name, field.name)) for row in rows] for field in schema]
    return pa.table([pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema)


def _renamed(dataset: Dataset, table: TableName, columns: Mapping[str, pa.DataType]) -> pa.Schema:
    names = dataset.table(table).columns
    return pa.schema([(names.get(name, name), kind) for name, kind in columns.items()])


def _taken_back(events: Iterable[LiveEvent]) -> set[str]:
    """Ids of the feedback that its user took back: of each `undo`, the newest on its item."""
    standing: dict[str, list[str]] = {}
    gone = set[str]()
    for event in events:
        if event.type in TAKEN_BACK:
            standing.setdefault(event.item_id, []).append(event.event_id)
        elif event.type == "undo" and standing.get(event.item_id):
            gone.add(standing[event.item_id].pop())
    return gone


def _interaction(event: LiveEvent, page: str | None) -> Row:
    return {name: str(value) for name, value in event.features.items()} | {
        "user_id": event.user_id,
        "item_id": event.item_id,
        "timestamp": event.at,
        "event_type": event.type,
        "value": event.value,
        "query": event.query or None,
        "event_id": event.event_id,
        "impression_id": page,
        "position": event.position,
    }


def _fits(value: Any, feature: Feature) -> bool:
    if feature.kind != "number" or value is None:
        return feature.domain is None or value is None or value in feature.domain
    try:
        number = float(value)
    except ValueError:
        return False
    is_low, is_high = (
        feature.min is not None and number < feature.min,
        feature.max is not None and number > feature.max,
    )
    return math.isfinite(number) and not is_low and not is_high


def _rest(event: LiveEvent, page: str | None) -> Row:
    return vars(event) | {
        "timestamp": event.at,
        "impression_id": page,
        "settings": _json(event.settings),
        "features": _json(event.features),
    }


def _json(values: Mapping[str, Any]) -> str | None:
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode() if values else None


_OF_PAGES = ("surface", "served_by", "model_version", "rules_version", "took_ms", "variety")


def _exposure(card: Card, user_id: str, at: int, page: Mapping[str, Any]) -> Row:
    facts = {name: page.get(name) for name in _OF_PAGES}
    return facts | {
        "impression_id": card.impression_id,
        "user_id": user_id,
        "item_id": card.item_id,
        "timestamp": at // 1000,
        "position": card.position,
        "propensity": card.propensity,
        "is_seen": card.is_seen,
        "row": card.row,
        "found_by": card.found_by,
        "arms": _json(page.get("arms") or {}),
        "versions": _json(page.get("versions") or {}),
        "team": page.get("teams", {}).get(card.item_id),
    }
