"""Rows of a table, as every reader makes them: as text first, then as typed Arrow columns; and those that are bad."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 8 << 20  # Read, and so parsed, at once.


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be used."""

    line: int  # Where it begins, from 1; in Parquet, the row's number.
    column: str | None  # The file's name of the column; None: the row as a whole.
    value: str | None  # Of that column.
    reason: str  # The same words for the same fault, so that it can be counted.
    raw: str  # As it is in the file; what is not UTF-8 appears as \\xNN.


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some rows of one file, in its order."""

    rows: pa.RecordBatch  # Our column names; types as in `arrow_schema`; null where missing.
    lines: npt.NDArray[np.int64]  # [num_rows], as in BadRow.
    bad: tuple[BadRow, ...]


@dataclasses.dataclass(frozen=True)
class RawRows:
    """Rows as text, before their values are understood."""

    columns: dict[str, pa.Array]  # The file's names → string or list of strings, [num_rows].
    lines: npt.NDArray[np.int64]
    raw: Callable[[int], str]  # Position → the row as it is in the file.
    bad: list[BadRow]


def is_utf8(text: str) -> bool:
    """Whether it has no surrogates, which stand for bytes that are not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(text: str) -> str:
    """A row as people read it: bytes that are not UTF-8 appear as \\xNN."""
    return text.rstrip("\r\n").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def strings(column: Sequence[Any], is_list: bool = False) -> pa.Array:
    """Texts, or lists of texts, as a column."""
    import pyarrow as pa

    return pa.array(column, pa.list_(pa.string()) if is_list else pa.string())
