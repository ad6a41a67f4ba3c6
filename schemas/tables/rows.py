"""Rows of a table, as every reader makes them: as text first, then as typed Arrow columns; and those that are bad."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 8 << 20  # Read, and so parsed, at once.
NOT_UTF_8 = "is not valid UTF-8 (`encoding` in dataset.yaml names another)"


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, or one of its values."""

    line: int  # Where the row begins, from 1; in Parquet, the row's number.
    column: str | None  # The file's name of the column; None: the row as a whole.
    value: str | None  # Of that column.
    reason: str  # The same words for the same fault, so that it can be counted.
    raw: str  # The row as it is in the file; what is not UTF-8 appears as \\xNN.


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some rows of one file, in its order."""

    rows: pa.RecordBatch  # Our column names; types as in `arrow_schema`; null where missing.
    lines: npt.NDArray[np.int64]  # [num_rows], as in BadRow.
    bad: tuple[BadRow, ...]  # Rows that are not among `rows`.
    lost: tuple[BadRow, ...] = ()  # Values that cannot be read, of columns that need not have one: null in `rows`.


Faults = dict[int, tuple[str, str]]
"""Position of a row → a value of it, as people read it, and why it cannot be used."""


@dataclasses.dataclass(frozen=True)
class RawRows:
    """Rows as text, before their values are understood."""

    columns: dict[str, pa.Array]  # The file's names → string or list of strings, [num_rows]; times may be int64.
    lines: npt.NDArray[np.int64]
    raw: Callable[[int], str]  # Position → the row as it is in the file.
    bad: list[BadRow]
    faults: dict[str, Faults] = dataclasses.field(default_factory=dict)  # By column; the values there are null.


def is_utf8(text: str) -> bool:
    """Whether it has no surrogates, which stand for bytes that are not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(text: str) -> str:
    """A row or value as people read it: bytes that are not UTF-8 appear as \\xNN."""
    text = text.rstrip("\r\n")
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def as_texts(column: Sequence[str | None]) -> tuple[pa.Array, Faults]:
    """Strings as a column, and those that are not UTF-8."""
    import pyarrow as pa

    try:
        return pa.array(column, pa.string()), {}
    except UnicodeEncodeError:
        faults = {row: (shown(text), NOT_UTF_8) for row, text in enumerate(column) if text and not is_utf8(text)}
        return pa.array([None if row in faults else t for row, t in enumerate(column)], pa.string()), faults


def as_lists(column: Sequence[Sequence[str] | None]) -> tuple[pa.Array, Faults]:
    """Lists of strings as a column, and those in which something is not UTF-8."""
    import pyarrow as pa

    faults = {
        row: (shown(", ".join(parts)), NOT_UTF_8)
        for row, parts in enumerate(column)
        if parts and not is_utf8("".join(parts))
    }
    kept = [None if row in faults else parts for row, parts in enumerate(column)] if faults else column
    return pa.array(kept, pa.list_(pa.string())), faults
