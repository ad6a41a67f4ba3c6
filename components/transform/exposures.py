"""What was shown, as the Exposures that models read: of which split, and what of it was taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts.coded import Coded
from homefeed.components.artifacts.example_io import Column
from homefeed.components.artifacts.positives import is_positive
from homefeed.components.artifacts.types import SPLITS
from homefeed.components.transform.counts import Counts
from homefeed.components.transform.events import Events
from homefeed.models.exposures import MAX_POSITIONS, OUTCOMES, Exposures
from homefeed.schemas.dataset import Positive
from homefeed.serving.experiments.metrics import facts_of

IMPRESSIONS, CONTRASTS, UNKNOWN = b"impressions", b"contrasts", b"unknown items"


def build_exposures(
    splits: Mapping[str, Mapping[str, Column]],
    events: Events,
    item_rows: Mapping[bytes, int],
    positive: Positive,
    names_pages: bool,
) -> dict[str, Exposures]:
    """Split → what was shown in it; a split with none is left out.

    An impression moves to a later split where it would tell of that split's events: if one that is liked came of it,
    or if its user had any before it.

    Args:
        splits: split → columns, one row an impression, as ExampleGen wrote it.
        events: of all splits.
        item_rows: item → row of the catalogue.
        positive: which events are liked: these, with the impression's id, are what was taken of it where the table
            itself does not say.
        names_pages: whether events say of which page they came; only then it is known what became of an exposure.
    """
    found = {split: columns for split, columns in splits.items() if columns}
    if not found:
        return {}
    parts = [_read(columns, events, item_rows, positive, names_pages) for columns in found.values()]
    split = np.concatenate(
        [
            np.maximum(SPLITS.index(name), _split_of_events(part, columns, events))
            for part, (name, columns) in zip(parts, found.items(), strict=True)
        ]
    )
    exposures = _join(parts)
    return {
        name: exposures[np.flatnonzero(split == number)]
        for number, name in enumerate(SPLITS)
        if (split == number).any()
    }


def count(exposures: Mapping[str, Exposures]) -> Counts:
    """Of each split its impressions, those of which something and not everything was taken, and unknown items."""
    return {
        split: Counter(
            {
                IMPRESSIONS: len(found),
                CONTRASTS: len(found.contrasts()),
                UNKNOWN: int((found.item_index == 0).sum()),
            }
        )
        for split, found in exposures.items()
    }


def summarize(counts: Counts) -> list[str]:
    """What was counted, in words; nothing where there is no impression."""
    said = []
    for split in (split for split in SPLITS if split in counts):
        found = counts[split]
        told = f"{found[CONTRASTS]:,} with something taken and left"
        said.append(f"{found[IMPRESSIONS]:,} impressions of {split}, {told}")
        said += [f"{found[UNKNOWN]:,} exposures of items outside the catalogue"] if found[UNKNOWN] else []
    return said


def _read(
    columns: Mapping[str, Column],
    events: Events,
    item_rows: Mapping[bytes, int],
    positive: Positive,
    names_pages: bool,
) -> Exposures:
    ids, row_splits = columns["item_id"]
    assert isinstance(ids, Coded)
    numbers = {name: _numbers(columns, name, len(ids)) for name in ("position", "propensity", "clicked")}
    outcomes = _outcomes(columns, events, positive) if names_pages else {}
    return Exposures(
        user_ids=np.array(columns["user_id"][0].tolist(), object),
        timestamp=np.asarray(columns["timestamp"][0]),
        row_splits=row_splits,
        item_index=ids.find(item_rows, 0),
        position=np.clip(np.nan_to_num(numbers["position"], nan=-1) + 1, 0, MAX_POSITIONS).astype(np.int32),
        propensity=numbers["propensity"],
        clicked=numbers["clicked"] > 0 if "clicked" in columns else outcomes["liked"],
        outcomes=outcomes,
    )


def _numbers(columns: Mapping[str, Column], name: str, size: int) -> npt.NDArray[np.float32]:
    found = columns.get(name)
    return np.full(size, np.nan, np.float32) if found is None else np.asarray(found[0], np.float32)


def _outcomes(columns: Mapping[str, Column], events: Events, positive: Positive) -> dict[str, npt.NDArray[np.bool_]]:
    """Of OUTCOMES, those that events with an impression's id tell of → [num_shown]."""
    users, pages, items = (columns[name][0] for name in ("user_id", "impression_id", "item_id"))
    lengths = np.diff(columns["item_id"][1])
    has_page = ~events.strings("impression_id").is_in([b""])
    of_events = [events.user, events.strings("impression_id").codes, events.item_id.codes]
    of_shown = [
        np.repeat(_user_of(users, events), lengths),
        np.repeat(_code_of(pages, events.strings("impression_id")), lengths),
        _code_of(items, events.item_id),
    ]
    card = _joint([np.concatenate(pair) for pair in zip((c[has_page] for c in of_events), of_shown, strict=True)])
    cards, shown = card[: has_page.sum()], card[has_page.sum() :]
    says = _says(events, positive)
    return {name: np.isin(shown, cards[happened[has_page]]) for name, happened in says.items()}


def _says(events: Events, positive: Positive) -> dict[str, npt.NDArray[np.bool_]]:
    """Outcome → [num_events] whether an event says so; what is liked `positive` says."""
    facts = {name: set(facts_of(name.decode())) for name in events.event_type.values}
    says = {name: events.event_type.is_in([kind for kind in facts if name in facts[kind]]) for name in OUTCOMES}
    return says | {"liked": is_positive(positive, events.value, events.event_type)}


def _user_of(users: Any, events: Events) -> npt.NDArray[np.int64]:
    """[num_rows] positions in the events' users; -1 of others."""
    return users.find({user: row for row, user in enumerate(events.user_ids)}, -1, np.int64)


def _code_of(strings: Any, coded: Coded) -> npt.NDArray[np.int64]:
    """[num_rows] the codes that strings have in another column; -1 of others."""
    return strings.find({value: code for code, value in enumerate(coded.values)}, -1, np.int64)


def _joint(columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
    """[num_rows] a number of each row, equal where all columns are; these are at least -1."""
    rows = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        rows = np.unique(rows * (int(column.max(initial=0)) + 2) + column + 1, return_inverse=True)[1]
    return rows


def _split_of_events(exposures: Exposures, columns: Mapping[str, Column], events: Events) -> npt.NDArray[np.int64]:
    """[num_impressions] the latest split of whose events an impression tells; 0, of none."""
    user = _user_of(columns["user_id"][0], events)
    never = np.iinfo(np.int64).max
    begins = np.full((len(SPLITS), len(events.user_ids) + 1), never)  # The last column is of users without events.
    np.minimum.at(begins, (events.split, events.user), events.timestamp)
    told = np.sum(begins[1:, user] <= exposures.timestamp, axis=0)
    told = np.where(begins[-1, user] <= exposures.timestamp, len(SPLITS) - 1, told)
    taken = np.flatnonzero(exposures.clicked)
    at = exposures.impression[taken]
    item = _code_of(columns["item_id"][0], events.item_id)[taken]
    np.maximum.at(told, at, _first_split(events, user[at], item))
    return told.astype(np.int64)


def _first_split(events: Events, user: npt.NDArray[np.int64], item: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """[num_pairs] the split of a user's first event on an item; 0 where there is none."""
    if not len(events.user):
        return np.zeros(len(user), np.int64)
    num_items = len(events.item_id.values)
    of_events = events.user.astype(np.int64) * num_items + events.item_id.codes
    pairs, first = np.unique(of_events, return_index=True)
    asked = np.where((user < 0) | (item < 0), -1, user * num_items + item)
    place = np.minimum(np.searchsorted(pairs, asked), len(pairs) - 1)
    return np.where(pairs[place] == asked, events.split[first[place]], 0)


def _join(parts: list[Exposures]) -> Exposures:
    lengths = np.concatenate([np.diff(part.row_splits) for part in parts])
    names = ("user_ids", "timestamp", "item_index", "position", "propensity", "clicked")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    outcomes = {name: np.concatenate([part.outcomes[name] for part in parts]) for name in parts[0].outcomes}
    row_splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Exposures(row_splits=row_splits, outcomes=outcomes, **joined)
