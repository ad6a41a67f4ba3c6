"""The interactions of all splits together, and what was searched for in them."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.coded import Coded
from homefeed.components.artifacts.types import SPLITS
from homefeed.components.transform.arrays import look_up
from homefeed.models import behaviour_text
from homefeed.schemas.scratch import replacing

_USER, _SPLIT = "user_id", "split of the event"  # In a file of events; no column of the table has these names.


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
        return self.numbers("value")

    @property
    def event_type(self) -> Coded:
        """[num_events] what was done; "": unknown."""
        return self.strings("event_type")

    @property
    def item_id(self) -> Coded:
        """[num_events] what it was done with."""
        return self.strings("item_id")

    @property
    def timestamp(self) -> npt.NDArray[np.int64]:
        """[num_events] Unix seconds."""
        found: npt.NDArray[np.int64] = self.columns.get("timestamp", np.zeros(len(self.user), np.int64))
        return found

    def strings(self, name: str) -> Coded:
        """[num_events] a column; "" where there is none."""
        found: Coded = self.columns.get(name, Coded.all_same(b"", len(self.user)))
        return found

    def numbers(self, name: str) -> npt.NDArray[np.float32]:
        """[num_events] a column; NaN where there is none."""
        found: npt.NDArray[np.float32] = self.columns.get(name, np.full(len(self.user), np.nan, np.float32))
        return found.astype(np.float32, copy=False)


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


def write(events: Events, path: pathlib.Path) -> None:
    """Writes events as Arrow's file, so that the tables are decoded once."""
    columns = {_USER: Coded(events.user, events.user_ids), _SPLIT: events.split, **events.columns}
    arrays = [
        pa.DictionaryArray.from_arrays(pa.array(column.codes), pa.array(column.values, pa.large_binary()))
        if isinstance(column, Coded)
        else pa.array(column)
        for column in columns.values()
    ]
    batch = pa.RecordBatch.from_arrays(arrays, list(columns))
    with replacing(path) as place, pa.OSFile(str(place), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as out:
        out.write_batch(batch)


def read(path: pathlib.Path) -> Events:
    """Reads what was written."""
    with pa.OSFile(str(path)) as source:
        batch = pa.ipc.open_file(source).get_batch(0)
    columns: dict[str, Any] = {
        name: Coded(array.indices.to_numpy(), array.dictionary.to_numpy(zero_copy_only=False))
        if pa.types.is_dictionary(array.type)
        else array.to_numpy()
        for name, array in zip(batch.schema.names, batch.columns, strict=True)
    }
    user = columns.pop(_USER)
    return Events(user.codes, columns.pop(_SPLIT), columns, user.values)


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
    """The columns that describe events beside item and time; arrays as in Sequences."""

    categorical: dict[str, npt.NDArray[np.int32]]
    numeric: dict[str, npt.NDArray[np.float32]]

    def take(self, which: npt.NDArray[Any]) -> EventFeatures:
        """Of some events, by a mask or by places."""
        return EventFeatures(
            {name: array[which] for name, array in self.categorical.items()},
            {name: array[which] for name, array in self.numeric.items()},
        )


def encode_events(
    events: Events, vocabularies: Mapping[str, tuple[str, ...]], numbers: Iterable[str]
) -> EventFeatures:
    """The event features that training events have a value of.

    Args:
        events: of all splits.
        vocabularies: of the categories.
        numbers: names of the others.
    """
    return EventFeatures(
        {name: look_up(events.strings(name), values) for name, values in vocabularies.items()},
        {name: events.numbers(name) for name in numbers},
    )


def tokenize_queries(events: Events, wordpiece: list[str], num_tokens: int) -> npt.NDArray[np.int32]:
    """[num_queries, num_tokens] int32 of the values of the column `query`, as in Sequences."""
    return behaviour_text.tokenize([text.decode() for text in events.strings("query").values], wordpiece, num_tokens)
