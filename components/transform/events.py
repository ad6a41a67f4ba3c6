"""The interactions of all splits together, and what was searched for in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.coded import Coded
from homefeed.components.artifacts.types import SPLITS
from homefeed.components.transform.arrays import look_up, of_kinds, vocabulary
from homefeed.models import behaviour_text
from homefeed.schemas.columns import Feature


@dataclasses.dataclass(frozen=True)
class Events:
    """The interactions of all splits, in the order of time inside each user.

    Attributes:
        user: [num_events] int32 positions in `user_ids`, ascending.
        split: [num_events] int8 positions in SPLITS.
        columns: name → [num_events], as ExampleGen wrote them: numbers, and coded strings.
        user_ids: [num_users] object (bytes), in their order.
    """

    user: npt.NDArray[np.int32]
    split: npt.NDArray[np.int8]
    columns: dict[str, Any]
    user_ids: npt.NDArray[np.object_]

    @property
    def in_train(self) -> npt.NDArray[np.bool_]:
        """[num_events] whether each event is for training."""
        return self.split == SPLITS.index("train")

    @property
    def trained_on(self) -> npt.NDArray[np.object_]:
        """[num_trained] object (bytes), the users who have training events, in their order."""
        return self.user_ids[np.unique(self.user[self.in_train])]

    @property
    def value(self) -> npt.NDArray[np.float32]:
        """[num_events] rating, dwell seconds, price; NaN where there is none."""
        value: npt.NDArray[np.float32] = self.columns.get("value", np.full(len(self.user), np.nan, np.float32))
        return value.astype(np.float32, copy=False)

    @property
    def event_type(self) -> Coded:
        """[num_events] what was done; "": unknown."""
        found: Coded = self.columns.get("event_type", Coded.all_same(b"", len(self.user)))
        return found


def join_splits(batches: Mapping[str, Iterable[pa.RecordBatch]]) -> Events:
    """Puts each user's events of all splits behind each other.

    Args:
        batches: split → one row a user, as ExampleGen wrote it; some rows at a time.
    """
    split_of_rows: list[npt.NDArray[np.int8]] = [np.empty(0, np.int8)]

    def in_order() -> Iterator[pa.RecordBatch]:  # Of time.
        for position, split in enumerate(SPLITS):
            for batch in batches[split]:
                split_of_rows.append(np.full(batch.num_rows, position, np.int8))
                yield batch

    columns = example_io.join_columns(in_order())
    user_ids, user_of_rows = _in_order(columns.pop("user_id")[0] if columns else Coded.of([]))
    num_events = np.diff(columns["item_id"][1]) if "item_id" in columns else np.zeros(len(user_of_rows), np.int64)
    rows = np.argsort(user_of_rows, kind="stable")
    user = np.repeat(user_of_rows[rows], num_events[rows])
    split = np.repeat(np.concatenate(split_of_rows)[rows], num_events[rows])
    order = _places(num_events, rows)
    return Events(user, split, {name: columns.pop(name)[0][order] for name in list(columns)}, user_ids)


def _in_order(strings: Any) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int32]]:
    """The values in their order, and the place of each row's there."""
    order = np.argsort(strings.values)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return strings.values[order], rank[strings.codes]


def _places(lengths: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """[num_events] the places of events whose rows are put in another order."""
    starts, sizes = (np.cumsum(lengths) - lengths)[rows], lengths[rows]
    moved: npt.NDArray[np.int64] = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    return moved + np.arange(len(moved))


@dataclasses.dataclass(frozen=True)
class EventFeatures:
    """The columns that describe events beside item and time; arrays and vocabularies as in Sequences."""

    categorical: dict[str, npt.NDArray[np.int32]]
    numeric: dict[str, npt.NDArray[np.float32]]
    vocabularies: dict[str, tuple[str, ...]]

    def take(self, which: npt.NDArray[Any]) -> EventFeatures:
        """Of some events, by a mask or by places."""
        return dataclasses.replace(
            self,
            categorical={name: array[which] for name, array in self.categorical.items()},
            numeric={name: array[which] for name, array in self.numeric.items()},
        )


def encode_events(events: Events, features: Mapping[str, Feature], min_count: int) -> EventFeatures:
    """The event features that training events have a value of.

    Args:
        events: of all splits.
        features: `Dataset.event_features`.
        min_count: a category seen less often in training gets no place in its vocabulary.
    """
    columns = {name: events.columns[name] for name in features if name in events.columns}
    categories = of_kinds({name: features[name] for name in columns}, "category")
    learnt = {name: vocabulary(columns[name][events.in_train], min_count) for name in categories}
    numbers = {name: columns[name].astype(np.float32, copy=False) for name in columns.keys() - categories.keys()}
    return EventFeatures(
        {name: look_up(columns[name], values) for name, values in learnt.items() if values},
        {name: array for name, array in sorted(numbers.items()) if np.isfinite(array[events.in_train]).any()},
        {name: values for name, values in learnt.items() if values},
    )


def training_queries(events: Events) -> list[str]:
    """What was searched for in training, each query once."""
    if "query" not in events.columns:
        return []
    return [query.decode() for query in sorted(events.columns["query"][events.in_train].counts()) if query]


def tokenize_queries(events: Events, wordpiece: list[str], num_tokens: int) -> npt.NDArray[np.int32] | None:
    """[num_queries, num_tokens] int32 of the column's values, as in Sequences; None where nobody ever searched."""
    texts = [text.decode() for text in events.columns["query"].values] if "query" in events.columns else []
    return behaviour_text.tokenize(texts, wordpiece, num_tokens) if any(texts) else None
