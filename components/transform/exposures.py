"""What was shown, as the Exposures that models read: of which split, and what of it was taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.positives import is_positive
from homefeed.components.artifacts.types import SPLITS
from homefeed.components.transform.events import Events
from homefeed.models.exposures import MAX_POSITIONS, OUTCOMES, Exposures
from homefeed.schemas.dataset import Positive
from homefeed.serving.experiments.metrics import facts_of


def build_exposures(
    batches: Mapping[str, pa.RecordBatch], events: Events, item_rows: Mapping[bytes, int], positive: Positive
) -> dict[str, Exposures]:
    """Split → what was shown in it; a split with none is left out.

    An impression moves to a later split where it would tell of that split's events: if one that is liked came of it,
    or if its user had any before it.

    Args:
        batches: split → one row an impression, as ExampleGen wrote it.
        events: of all splits.
        item_rows: item → row of the catalogue.
        positive: which events are liked: these, with the impression's id, are what was taken of it where the table
            itself does not say.
    """
    found = {split: batch for split, batch in batches.items() if batch.num_rows}
    if not found:
        return {}
    parts = [_read(batch, events, item_rows, positive) for batch in found.values()]
    items = [example_io.ragged(batch, "item_id") for batch in found.values()]
    split = np.concatenate(
        [
            np.maximum(SPLITS.index(name), _split_of_events(part, ids[0], events))
            for name, part, ids in zip(found, parts, items, strict=True)
            if ids is not None
        ]
    )
    exposures = _join(parts)
    return {
        name: exposures[np.flatnonzero(split == number)]
        for number, name in enumerate(SPLITS)
        if (split == number).any()
    }


def summarize(exposures: Mapping[str, Exposures]) -> list[str]:
    """How many impressions there are, of how many something and not everything was taken; nothing where none is."""
    said = []
    for split, found in exposures.items():
        told = f"{len(found.contrasts()):,} with something taken and left"
        said.append(f"{len(found):,} impressions of {split}, {told}")
        unknown = int((found.item_index == 0).sum())
        said += [f"{unknown:,} exposures of items outside the catalogue"] if unknown else []
    return said


def _read(batch: pa.RecordBatch, events: Events, item_rows: Mapping[bytes, int], positive: Positive) -> Exposures:
    ids, row_splits = example_io.ragged(batch, "item_id") or (np.empty(0, object), np.zeros(1, np.int64))
    numbers = {name: _numbers(batch, name, len(ids)) for name in ("position", "propensity", "clicked")}
    users = example_io.single(batch, "user_id", b"")
    outcomes = _outcomes(batch, ids, np.diff(row_splits), events, positive)
    clicked = numbers["clicked"] > 0 if "clicked" in batch.schema.names else outcomes["liked"]
    return Exposures(
        user_ids=users,
        timestamp=example_io.single(batch, "timestamp", 0).astype(np.int64),
        row_splits=row_splits,
        item_index=np.array([item_rows.get(item, 0) for item in ids], np.int32),
        position=np.clip(np.nan_to_num(numbers["position"], nan=-1) + 1, 0, MAX_POSITIONS).astype(np.int32),
        propensity=numbers["propensity"],
        clicked=clicked,
        outcomes=outcomes,
    )


def _numbers(batch: pa.RecordBatch, name: str, size: int) -> npt.NDArray[np.float32]:
    found = example_io.ragged(batch, name)
    return np.full(size, np.nan, np.float32) if found is None else found[0].astype(np.float32)


def _outcomes(
    batch: pa.RecordBatch,
    ids: npt.NDArray[np.object_],
    lengths: npt.NDArray[np.int64],
    events: Events,
    positive: Positive,
) -> dict[str, npt.NDArray[np.bool_]]:
    """Of OUTCOMES, those that events with an impression's id tell of → [num_shown]."""
    if "impression_id" not in events.columns:
        return {}
    users, impressions = (
        np.repeat(example_io.single(batch, name, b""), lengths) for name in ("user_id", "impression_id")
    )
    shown = list(zip(users, impressions, ids, strict=True))
    found = _by_outcome(events, positive)
    return {name: np.array([card in found[name] for card in shown], bool) for name in OUTCOMES}


def _by_outcome(events: Events, positive: Positive) -> dict[str, set[tuple[Any, ...]]]:
    """Outcome → (user, impression, item) of the events that say so; what is liked `positive` says."""
    columns, size = events.columns, len(events.user)
    types = columns.get("event_type", np.full(size, b"", object))
    kinds, kind = np.unique(types, return_inverse=True)
    facts = [set(facts_of(name.decode())) for name in kinds]
    values = columns.get("value", np.full(size, np.nan)).astype(np.float32)
    says = {name: np.array([name in of_kind for of_kind in facts], bool)[kind] for name in OUTCOMES} | {
        "liked": is_positive(positive, values, types)
    }
    names = (events.user_ids[events.user], columns["impression_id"], columns["item_id"])
    has_page = columns["impression_id"] != b""
    return {
        name: set(zip(*(column[happened & has_page] for column in names), strict=True))
        for name, happened in says.items()
    }


def _split_of_events(
    exposures: Exposures, item_ids: npt.NDArray[np.object_], events: Events
) -> npt.NDArray[np.int64]:
    """[num_impressions] the latest split of whose events an impression tells; 0, of none."""
    number = {user: row for row, user in enumerate(events.user_ids)}
    user = np.array([number.get(name, -1) for name in exposures.user_ids], np.int64)
    never = np.iinfo(np.int64).max
    begins = np.full((len(SPLITS), len(number) + 1), never)  # The last column is of users without events.
    np.minimum.at(begins, (events.split, events.user), events.columns["timestamp"])
    told = np.sum(begins[1:, user] <= exposures.timestamp, axis=0)
    told = np.where(begins[-1, user] <= exposures.timestamp, len(SPLITS) - 1, told)
    pairs = zip(events.user.tolist(), events.columns["item_id"].tolist(), strict=True)
    first: dict[tuple[int, bytes], int] = {}
    for pair, split in zip(pairs, events.split.tolist(), strict=True):
        first.setdefault(pair, split)
    impression = exposures.impression
    for place in np.flatnonzero(exposures.clicked):
        at = impression[place]
        told[at] = max(told[at], first.get((int(user[at]), item_ids[place]), 0))
    return told.astype(np.int64)


def _join(parts: list[Exposures]) -> Exposures:
    lengths = np.concatenate([np.diff(part.row_splits) for part in parts])
    names = ("user_ids", "timestamp", "item_index", "position", "propensity", "clicked")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    outcomes = {name: np.concatenate([part.outcomes[name] for part in parts]) for name in parts[0].outcomes}
    row_splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Exposures(row_splits=row_splits, outcomes=outcomes, **joined)
