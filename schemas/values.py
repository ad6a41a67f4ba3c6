"""Parsing of cells: from strings to typed Arrow columns, a column at a time."""

from __future__ import annotations

import ast
import contextlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from homefeed.schemas import times
from homefeed.schemas.columns import Feature, Kind, Unit

if TYPE_CHECKING:
    import pyarrow as pa

Mask = npt.NDArray[np.bool_]
Why = Callable[[int], str]
"""Row → what is wrong with its value, for the rows that are marked as wrong."""

FLOAT32_MAX = float(np.finfo(np.float32).max)
LIST_SEPARATOR = "|"
OBJECTS = "is a list of something else than text and numbers"
MISSING = ("", "\\N")  # What stands for a missing value in every column; the second is MySQL's and PostgreSQL's.
NO_WORDS: tuple[Kind, ...] = ("id", "timestamp", "number")
"""Kinds of columns that have no words for values, so that some words say that there is none."""
WORDS = (
    "nan",
    "none",
    "null",
    "nil",
    "nat",
    "<na>",
    "n/a",
    "#n/a",
    "undefined",
    "NaN",
    "None",
    "Null",
    "NaT",
    "-nan",
)
MISSING_WORDS = (*MISSING, *WORDS, *(word.upper() for word in WORDS))


def arrow_type(kind: Kind) -> pa.DataType:
    """The Arrow type of a column. Missing values are null, in number and embedding too."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "timestamp": pa.int64(),
        "number": pa.float32(),
        "categories": pa.list_(pa.string()),
        "embedding": pa.list_(pa.float32()),
    }
    return types.get(kind, pa.string())


def understand(text: pa.Array, feature: Feature, unit: Unit | None = None) -> tuple[pa.Array, Mask, Why]:
    """Reads a column as what it was declared to be.

    Args:
        text: [num_rows] string, or list of strings; or int64, of times that are Unix seconds. Missing is null, "",
            an empty list, or one of MISSING_WORDS.
        feature: its kind, whether it must be there, and which values are allowed.
        unit: of times that are numbers, where none is declared.

    Returns:
        [num_rows] of `arrow_type`, null where missing or wrong; [num_rows] whether it is wrong; and why.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    readers = {
        "number": _numbers,
        "categories": _categories,
        "embedding": _embeddings,
    }
    if feature.kind == "timestamp":
        column, wrong, reason = _timestamps(text, feature, feature.unit or unit or "s")
    else:
        column, wrong, reason = readers.get(feature.kind, _texts)(text, feature)
    missing = _numpy(pc.is_null(column)) & ~wrong
    if wrong.any():
        column = pc.if_else(pa.array(wrong), pa.nulls(len(column), column.type), column)
    if feature.required:
        wrong = wrong | missing

    def why(row: int) -> str:
        return "is missing" if feature.required and missing[row] else reason(row)

    return column, wrong, why


def count_units(text: pa.Array) -> Counter[Unit]:
    """As `times.count_units`, of a column of times as it was read."""
    import pyarrow as pa

    if not pa.types.is_string(text.type):
        return Counter()
    return times.count_units(_none_if_missing(text, "timestamp"))


def flat(parts: Any) -> Iterator[Any]:
    """The parts of a list, and of the lists in it: several paths of categories are as good as one.

    Written without recursion: a file may nest them deeper than Python goes.
    """
    waiting = [parts]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list | tuple):
            waiting += reversed(part)
        else:
            yield part


def split(text: str) -> list[str] | None:
    """The parts of a list that is written as one string: `a|b`, or as JSON and Python write lists.

    None: it is a list of something else than text and numbers.

    >>> split("Action|Comedy"), split("[['Action'], 'Comedy']"), split("[{'id': 1}]")
    (['Action', 'Comedy'], ['Action', 'Comedy'], None)
    """
    parts: Any = text.split(LIST_SEPARATOR)
    if text.startswith("[") and text.endswith("]"):
        for parse in (json.loads, ast.literal_eval):
            with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                parts = [*flat(parse(text))]
                break
    if not all(isinstance(part, str | int | float) for part in parts):
        return None
    return [str(part) for part in parts if part != ""]


def _texts(text: pa.Array, feature: Feature) -> tuple[pa.Array, Mask, Why]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(text.type):
        lengths = _numpy(pc.fill_null(pc.list_value_length(text), 0))
        return pa.nulls(len(text), pa.string()), lengths > 0, lambda row: "is a list, expected one value"
    column = _none_if_missing(text, feature.kind)
    if feature.domain is None:
        return column, np.zeros(len(text), bool), _never
    allowed = pc.or_(pc.is_in(column, pa.array(feature.domain)), pc.is_null(column))
    return column, ~_numpy(allowed), lambda row: f"is not one of {_domain(feature)}"


def _numbers(text: pa.Array, feature: Feature) -> tuple[pa.Array, Mask, Why]:
    import pyarrow as pa
    import pyarrow.compute as pc

    text, lists, reason = _texts(text, feature.model_copy(update={"domain": None}))
    try:
        number = _numpy(pc.fill_null(text.cast(pa.float64()), math.nan))
        garbled = lists
    except pa.ArrowInvalid:
        parsed = [_number(value) for value in text.to_pylist()]
        garbled = lists | np.array([value is None for value in parsed])
        number = np.array([math.nan if value is None else value for value in parsed])
    low = -FLOAT32_MAX if feature.min is None else feature.min
    high = FLOAT32_MAX if feature.max is None else feature.max
    outside = (number < low) | (number > high)

    def why(row: int) -> str:
        if lists[row]:
            return reason(row)
        if garbled[row] or math.isinf(number[row]):
            return "is not a finite number"
        return f"is outside [{low:g}, {high:g}]"

    missing = np.isnan(number) | outside | garbled
    kept = np.where(missing, 0, number).astype(np.float32)
    return pa.array(kept, mask=missing), outside | garbled, why


def _timestamps(text: pa.Array, feature: Feature, unit: Unit) -> tuple[pa.Array, Mask, Why]:
    import pyarrow as pa
    import pyarrow.compute as pc

    lists, reason = np.zeros(len(text), bool), cast(Why, _never)
    if not pa.types.is_integer(text.type):
        text, lists, reason = _texts(text, feature)
    is_null = _numpy(pc.is_null(text))
    seconds, wrong = times.read(text, unit, is_declared=feature.unit is not None)
    wrong &= ~is_null

    def why(row: int) -> str:
        if lists[row]:
            return reason(row)
        if times.is_number(text[row].as_py()):
            return f"is not in {times.NAMES[unit]}, as the column's times are (`unit` in dataset.yaml says otherwise)"
        return "is not a time in Unix seconds or ISO 8601"

    return pa.array(seconds, mask=is_null | wrong), wrong | lists, why


def _categories(text: pa.Array, feature: Feature) -> tuple[pa.Array, Mask, Why]:
    import pyarrow as pa
    import pyarrow.compute as pc

    lists, garbled = (text, np.zeros(len(text), bool)) if pa.types.is_list(text.type) else _split_all(text)
    parts = lists.flatten()
    owner = _numpy(pc.list_parent_indices(lists))
    kept = _numpy(pc.fill_null(pc.not_equal(parts, ""), False))
    wrong = garbled.copy()
    if feature.domain is not None:
        foreign = kept & ~_numpy(pc.is_in(parts, pa.array(feature.domain)))
        wrong[owner[foreign]] = True
    counts = np.bincount(owner[kept], minlength=len(text))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    column = pa.ListArray.from_arrays(offsets, parts.filter(pa.array(kept)))
    column = pc.if_else(pa.array(counts > 0), column, pa.nulls(len(text), column.type))
    return column, wrong, lambda row: OBJECTS if garbled[row] else f"is not all of {_domain(feature)}"


def _split_all(text: pa.Array) -> tuple[pa.Array, Mask]:
    """[num_rows] lists of strings, and which are lists of something else."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = _none_if_missing(text, "categories")
    if not pc.any(pc.starts_with(text, "[")).as_py():
        return pc.split_pattern(text, LIST_SEPARATOR), np.zeros(len(text), bool)
    parts = [None if value is None else split(value) for value in text.to_pylist()]
    garbled = np.array([value is None for value in parts]) & _numpy(pc.is_valid(text))
    return pa.array(parts, pa.list_(pa.string())), garbled


def _embeddings(text: pa.Array, feature: Feature) -> tuple[pa.Array, Mask, Why]:
    import pyarrow as pa

    parsed = [_vector(value, feature.size or 0) for value in text.to_pylist()]
    wrong = np.array([isinstance(value, str) for value in parsed], bool)
    column = pa.array([None if bad else v for v, bad in zip(parsed, wrong, strict=True)], pa.list_(pa.float32()))
    return column, wrong, lambda row: str(parsed[row])


def _vector(value: str | list[str] | None, size: int) -> list[float] | str | None:
    """The floats of `0.1 0.2`, `[0.1, 0.2]`, `0.1|0.2`; or why it is not `size` of them."""
    if not value:
        return None
    parts = value if isinstance(value, list) else value.strip("[] ").translate(_SPACES).split()
    numbers = [_number(part) for part in parts]
    if len(numbers) != size:
        return f"has {len(numbers)} values, expected {size}"
    if any(number is None or not abs(number) <= FLOAT32_MAX for number in numbers):
        return "holds something that is not a finite number"
    return [number for number in numbers if number is not None]


_SPACES = str.maketrans(",;|", "   ")


def _number(text: str | None) -> float | None:
    """NaN where there is none; None where it is not a number."""
    if text is None:
        return math.nan
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _none_if_missing(text: pa.Array, kind: Kind) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = pc.is_in(text, pa.array(MISSING_WORDS if kind in NO_WORDS else MISSING))
    if kind in NO_WORDS:
        missing = pc.or_(missing, pc.fill_null(pc.utf8_is_space(text), False))
    return pc.if_else(missing, pa.scalar(None, pa.string()), text) if pc.any(missing).as_py() else text


def _numpy(array: pa.Array) -> npt.NDArray[Any]:
    numbers: npt.NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return numbers


def _domain(feature: Feature) -> str:
    allowed = feature.domain or ()
    return ", ".join(allowed[:10]) + (", …" if len(allowed) > 10 else "")


def _never(row: int) -> str:
    raise AssertionError(f"row {row} is not wrong")
