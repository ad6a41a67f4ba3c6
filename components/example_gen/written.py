# mypy: disable-error-code="no-untyped-call"
"""What ExampleGen wrote of the interactions: enough of each split, and somebody who likes something."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.coded import Coded
from homefeed.components.artifacts.positives import is_positive
from homefeed.components.artifacts.types import SPLITS, Examples
from homefeed.components.example_gen.splits import MIN_LEAVE_ONE_OUT, SplitRule
from homefeed.schemas.dataset import Dataset, Positive

LIKED, OF_TYPE, OTHER_TYPES = "liked", "type:", "other types"
MAX_NAMED = 10  # Types of events in a message.


def count_split(split: str, rows: pa.RecordBatch, positive: Positive) -> Counter[str]:
    """Of one row a user: events, those of each liked type and, in training, those liked or of other types."""
    num_events = len(rows["item_id"].flatten())
    counts = Counter({split: num_events})
    if positive != Positive():
        value, kind = _judged(rows, num_events)
        if split == SPLITS[0]:
            counts[LIKED] = int(is_positive(positive, value, kind).sum())
        types = kind.counts()
        for name in positive.event_types or ():
            counts[f"{OF_TYPE}{name}"] = types[name.encode()]
        if split == SPLITS[0] and positive.event_types:
            counts[OTHER_TYPES] = num_events - sum(counts[f"{OF_TYPE}{name}"] for name in positive.event_types)
    return counts


def absent_types(counts: Mapping[str, int], positive: Positive) -> list[str]:
    """Types of events that count as liked and that no event has."""
    return [name for name in positive.event_types or () if not counts.get(f"{OF_TYPE}{name}")]


def check_written(counts: Mapping[str, int], interactions: Examples, dataset: Dataset, rule: SplitRule) -> list[str]:
    """What is wrong with the splits, in sentences.

    Args:
        counts: of `count_split`, of all rows.
        interactions: as they were written; read only if something is wrong.
        dataset: the declaration.
        rule: how they were split.
    """
    empty = [split for split in rule.wanted() if not counts.get(split)]
    if empty:
        return [_explain_empty(empty, counts, interactions, rule)]
    if dataset.positive != Positive() and not counts.get(LIKED):
        return [_explain_liked(counts[SPLITS[0]], interactions, dataset.positive)]
    return []


def _judged(rows: pa.RecordBatch, num_events: int) -> tuple[npt.NDArray[np.float32], Coded]:
    """[num_events] values, NaN where there is none, and types of events."""
    value = example_io.ragged(rows, "value")
    kind = rows["event_type"] if "event_type" in rows.schema.names else None
    return (
        np.full(num_events, np.nan, np.float32) if value is None else value[0],
        Coded.all_same(b"", num_events) if kind is None else Coded.join([kind.flatten()]),
    )


def _explain_liked(num_events: int, interactions: Examples, positive: Positive) -> str:
    rows = example_io.read_split(interactions, SPLITS[0])
    value, kind = _judged(rows, num_events)
    said = []
    if positive.event_types is not None:
        types = Counter({name.decode(): count for name, count in kind.counts().items() if name})
        there = ", ".join(f"{name} ({count:,})" for name, count in types.most_common(MAX_NAMED))
        asked = ", ".join(positive.event_types)
        said.append(
            f"`positive.event_types` is {asked}, and " + (f"there are {there}" if there else "no event has one")
        )
    if positive.min_value is not None:
        known = value[~np.isnan(value)]
        there = f"values are from {known.min():g} to {known.max():g}" if len(known) else "no event has a value"
        said.append(f"`positive.min_value` is {positive.min_value:g}, and {there}")
    return f"interactions: none of {num_events:,} training events counts as liked: {'; '.join(said)}."


def _explain_empty(empty: list[str], counts: Mapping[str, int], interactions: Examples, rule: SplitRule) -> str:
    times, lengths = [], Counter[bytes]()
    for split in (split for split in SPLITS if counts.get(split)):
        rows = example_io.read_split(interactions, split)
        for user, seconds in zip(example_io.single(rows, "user_id", b""), rows["timestamp"].to_pylist(), strict=True):
            times += seconds
            lengths[user] += len(seconds)
    there = f"{len(times):,} events of {len(lengths):,} users"
    if rule.method == "temporal" and times:
        first, last = (datetime.datetime.fromtimestamp(edge, datetime.UTC) for edge in (min(times), max(times)))
        there += f" at {len(set(times)):,} different times, {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S}"
    if rule.method == "leave_one_out" and lengths:
        there += f", of whom nobody has {MIN_LEAVE_ONE_OUT} (the most is {max(lengths.values())})"
    return (
        f"interactions: no event is left for {' and '.join(empty)} by {rule.said()}: there are {there}. "
        "Give more events, or split them in another way."
    )
