# mypy: disable-error-code="no-untyped-call"
"""Summary of a dataset for drift: exact counts of every column, batch by batch in little memory."""

from __future__ import annotations

import collections
import dataclasses
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from homefeed.schemas.columns import KEYS, TRACES, Feature, TableName

NUM_GROUPS = 64
MAX_CATEGORIES = 1000  # A column with more distinct values is judged as ids are.
_DROPPED_BITS = 12  # Of a float32, which leaves 11 of its mantissa: numbers are told apart to 0.05%.
_WORD = re.compile(
    r"[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
)  # Words where a script has spaces, else characters.

Groups = npt.NDArray[np.int64]
"""[num_rows] which of NUM_GROUPS a row is in. Rows of one user share a group, so that the spread between groups
shows how sure a figure is when events of one user resemble each other (the method of random groups)."""


@dataclasses.dataclass
class Column:
    """Counts of one column; adding a batch changes them."""

    kind: str  # id, category, number or text.
    rows: npt.NDArray[np.int64]  # [NUM_GROUPS]
    missing: npt.NDArray[np.int64]  # [NUM_GROUPS]
    values: collections.Counter[Any]  # Value, word, or bin of a number → how often.
    grouped: dict[str, npt.NDArray[np.int64]]  # Category → [NUM_GROUPS].
    sums: npt.NDArray[np.float64]  # [3, NUM_GROUPS] of a number: how many, their sum, the sum of their squares.
    by_key: dict[str, int] = dataclasses.field(default_factory=dict)  # Of an item's text: id → its checksum.
    coarseness: float = 0.0  # Of a number: the largest share of values whose place among others is not known.

    @classmethod
    def empty(cls, kind: str) -> Column:
        """No rows yet."""
        zeros = np.zeros(NUM_GROUPS, np.int64)
        return cls(kind, zeros, zeros.copy(), collections.Counter(), {}, np.zeros((3, NUM_GROUPS)))

    @property
    def num_values(self) -> int:
        """How many values (or words) there are."""
        return sum(self.values.values())


@dataclasses.dataclass
class Summary:
    """Counts of a whole dataset."""

    name: str
    columns: dict[str, Column]  # `table.column`
    events_per_user: collections.Counter[int]
    num_rows: dict[str, int]  # Of each table.
    days: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)  # Events a Unix day.
    is_log: bool = False  # Of requests, which carry only some columns.


def summarize_batches(
    name: str, parts: Mapping[TableName, Iterable[pa.RecordBatch]], features: Mapping[TableName, dict[str, Feature]]
) -> Summary:
    """Counts what is in the batches of each table (columns as in `homefeed.schemas.tables.arrow_schema`)."""
    summary = Summary(name, {}, collections.Counter(), dict.fromkeys(parts, 0))
    for table, batches in parts.items():
        for rows in batches:
            summary.num_rows[table] += rows.num_rows
            if table == "interactions" and "timestamp" in rows.schema.names:
                seconds = rows.column(rows.schema.get_field_index("timestamp")).to_numpy()
                days, counts = np.unique(seconds // 86_400, return_counts=True)
                summary.days.update(dict(zip(days.tolist(), counts.tolist(), strict=True)))
            groups = _groups(rows.column(rows.schema.get_field_index(KEYS[table])))
            for column, feature in features[table].items():
                kind = _kind(table, column, feature)
                place = rows.schema.get_field_index(column)
                if kind and place >= 0:
                    found = summary.columns.setdefault(f"{table}.{column}", Column.empty(kind))
                    _add(found, rows.column(place), groups)
                    if table == "items" and kind == "text":
                        _add_keyed(found, rows.column(place), rows["item_id"])
    if "interactions.user_id" in summary.columns:
        users = summary.columns["interactions.user_id"].values
        summary.events_per_user = collections.Counter(users.values())
    for counted in summary.columns.values():
        if counted.kind == "category" and len(counted.values) > MAX_CATEGORIES:
            counted.kind, counted.grouped = "id", {}
    return summary


def bin_values(places: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The number in the middle of each bin."""
    bits = ((places.astype(np.uint32) << _DROPPED_BITS) | (1 << (_DROPPED_BITS - 1))).astype(np.uint32)
    bits = np.where(bits >> 31, bits & 0x7FFFFFFF, ~bits).astype(np.uint32)
    return bits.view(np.float32).astype(np.float64)


def words(text: str) -> list[str]:
    """The words of a text, in lower case; of Chinese, Japanese and Korean, the characters.

    >>> words("Toy Story (1995) 玩具")
    ['toy', 'story', '1995', '玩', '具']
    """
    return _WORD.findall(text.lower())


def _kind(table: TableName, name: str, feature: Feature) -> str | None:
    """How a column is counted. What is new by nature is not judged: a catalogue's own ids, times, traces."""
    if name in TRACES or (name == KEYS[table] and table != "interactions"):
        return None
    kinds = {"categories": "category", "timestamp": None, "embedding": None}
    return kinds.get(feature.kind, feature.kind)


def _groups(keys: pa.Array) -> Groups:
    coded = keys.dictionary_encode()
    groups = np.array([zlib.crc32(key.encode()) % NUM_GROUPS for key in coded.dictionary.to_pylist()], np.int64)
    return groups[coded.indices.to_numpy()]


def _add(column: Column, values: pa.Array, groups: Groups) -> None:
    absent = pc.is_null(values).to_numpy(zero_copy_only=False)
    column.rows += np.bincount(groups, minlength=NUM_GROUPS)
    column.missing += np.bincount(groups[absent], minlength=NUM_GROUPS)
    if column.kind == "number":
        numbers, groups = values.drop_null().to_numpy().astype(np.float64), groups[~absent]
        column.sums += [
            np.bincount(groups, weights, NUM_GROUPS) for weights in (np.ones(len(numbers)), numbers, numbers**2)
        ]
        found, counts = np.unique(bins(numbers), return_counts=True)
        column.values.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        return
    if pa.types.is_list(values.type):
        values, groups = values.flatten(), groups[pc.list_parent_indices(values).to_numpy()]
    else:
        values, groups = values.drop_null(), groups[~absent]
    coded = values.dictionary_encode()
    names, codes = coded.dictionary.to_pylist(), coded.indices.to_numpy()
    frequencies = dict(zip(names, np.bincount(codes, minlength=len(names)).tolist(), strict=True))
    if column.kind == "text":
        for text, count in frequencies.items():
            for word in words(text):
                column.values[word] += count
        return
    column.values.update(frequencies)
    if column.kind == "category" and len(names) <= MAX_CATEGORIES:
        matrix = np.bincount(codes * NUM_GROUPS + groups, minlength=len(names) * NUM_GROUPS)
        for name, row in zip(names, matrix.reshape(-1, NUM_GROUPS), strict=True):
            column.grouped[name] = column.grouped.get(name, 0) + row


def _add_keyed(column: Column, texts: pa.Array, keys: pa.Array) -> None:
    for key, text in zip(keys.to_pylist(), texts.to_pylist(), strict=True):
        column.by_key[key] = zlib.crc32((text or "").encode())


def bins(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Bins in the order of the numbers: the leading bits of a float32, made to sort as the number does."""
    bits = (numbers + 0.0).astype(np.float32).view(np.uint32)
    ordered = np.where(bits >> 31, ~bits, bits | 0x80000000).astype(np.uint32)
    return (ordered >> _DROPPED_BITS).astype(np.int64)
