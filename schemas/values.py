"""What the text of a cell means: from strings to typed Arrow columns, a column at a time."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from homefeed.schemas.dataset import Feature, Kind

if TYPE_CHECKING:
    import pyarrow as pa

Mask = npt.NDArray[np.bool_]
Why = Callable[[int], str]
"""Row → what is wrong with its value, for the rows that are marked as wrong."""

FLOAT32_MAX = float(np.finfo(np.float32).max)
LIST_SEPARATOR = "|"


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


def understand(text: pa.Array, feature: Feature) -> tuple[pa.Array, Mask, Why]:
    """Reads a column as what it was declared to be.

    Args:
        text: [num_rows] string, or list of strings. Missing is null, "" or an empty list.
        feature: its kind, whether it must be there, and which values are allowed.

    Returns:
        [num_rows] of `arrow_type`, null where missing or wrong; [num_rows] whether it is wrong; and why.
    """
    import pyarrow.compute as pc

    readers = {
        "timestamp": _timestamps,
        "number": _numbers,
        "categories": _categories,
        "embedding": _embeddings,
    }
    column, wrong, reason = readers.get(feature.kind, _texts)(text, feature)
    missing = _numpy(pc.is_null(column)) & ~wrong
    if feature.required:
        wrong = wrong | missing

    def why(row: int) -> str:
        return "is missing" if feature.required and missing[row] else reason(row)

    return column, wrong, why


def to_text(column: pa.Array) -> tuple[pa.Array, Mask]:
    """A typed column (from Parquet) as the text it would have in CSV, and where that is not valid UTF-8."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    fine = np.zeros(len(column), bool)
    if pa.types.is_dictionary(kind):
        return to_text(column.dictionary_decode())
    if pa.types.is_string(kind):
        return column, fine
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner, _ = to_text(column.flatten())
        offsets = np.concatenate([[0], np.cumsum(_numpy(pc.fill_null(pc.list_value_length(column), 0)))])
        lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), inner)
        return pc.if_else(pc.is_valid(column), lists, pa.nulls(len(column), lists.type)), fine
    if pa.types.is_temporal(kind):
        seconds = column.cast(pa.timestamp("s", tz=getattr(kind, "tz", None)), safe=False).cast(pa.int64())
        return seconds.cast(pa.string()), fine
    try:
        return column.cast(pa.string()), fine
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        texts = [_decode(value) for value in column.to_pylist()]
        wrong = np.array([isinstance(value, UnicodeDecodeError) for value in texts])
        return pa.array([None if bad else t for t, bad in zip(texts, wrong, strict=True)], pa.string()), wrong


def split(text: str) -> list[str]:
    """The parts of a list that is written as one string: `a|b`.

    >>> split("Action|Comedy")
    ['Action', 'Comedy']
    """
    return [part for part in text.split(LIST_SEPARATOR) if part]


def seconds(text: str) -> int | None:
    """Unix seconds of a time in seconds, milli-, micro- or nanoseconds, or ISO 8601 (UTC if it says nothing).

    A number's unit is told by its size: up to 10^11 seconds (the year 5138), then a thousand of each.

    >>> seconds("881250949"), seconds("881250949000"), seconds("1997-12-04T15:55:49Z")
    (881250949, 881250949, 881250949)
    """
    try:
        number = float(text)
    except ValueError:
        try:
            moment = datetime.datetime.fromisoformat(text.strip())
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return math.floor(moment.timestamp())
    if not abs(number) < 1e20 or "_" in text:
        return None
    try:
        whole = int(text)  # Exact, where a float of nanoseconds would not be.
    except ValueError:
        whole = math.floor(number)
    while abs(whole) >= 10**11:
        whole //= 1000
    return whole


def _texts(text: pa.Array, feature: Feature) -> tuple[pa.Array, Mask, Why]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(text.type):
        lengths = _numpy(pc.fill_null(pc.list_value_length(text), 0))
        return pa.nulls(len(text), pa.string()), lengths > 0, lambda row: "is a list, expected one value"
    column = _none_if_empty(text)
    if feature.domain is None:
        return column, np.zeros(len(text), bool), _never
    allowed = pc.or_(pc.is_in(column, pa.array(feature.domain)), pc.is_null(column))
    return column, ~_numpy(allowed), lambda row: f"is not one of {_domain(feature)}"


def _numbers(text: pa.Array, feature: Feature) -> tuple[pa.Array, Mask, Why]:
    import pyarrow as pa
    import pyarrow.compute as pc

    text, lists, reason = _texts(text, Feature(kind="text"))
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


def _timestamps(text: pa.Array, feature: Feature) -> tuple[pa.Array, Mask, Why]:
    import pyarrow as pa
    import pyarrow.compute as pc

    text, wrong, reason = _texts(text, Feature(kind="text"))
    whole = _whole_numbers(text)
    if whole is not None:
        for _ in range(3):
            whole = np.where(np.abs(whole) >= 10**11, whole // 1000, whole)
        return pa.array(whole, mask=_numpy(pc.is_null(text))), wrong, reason
    parsed = [None if value is None else seconds(value) for value in text.to_pylist()]
    garbled = np.array([value is None for value in parsed]) & _numpy(pc.is_valid(text))

    def why(row: int) -> str:
        return reason(row) if wrong[row] else "is not a time in Unix seconds or ISO 8601"

    return pa.array(parsed, pa.int64()), wrong | garbled, why


def _whole_numbers(text: pa.Array) -> npt.NDArray[np.int64] | None:
    """[num_rows] int64 (0 where null) if all are, which is the usual case and quick to read."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        numbers = _numpy(pc.fill_null(text.cast(pa.int64()), 0))
    except pa.ArrowInvalid:
        return None
    is_hex = pc.any(pc.match_substring(text, "x", ignore_case=True)).as_py()  # Arrow takes 0x10 for 16.
    return None if is_hex else numbers


def _categories(text: pa.Array, feature: Feature) -> tuple[pa.Array, Mask, Why]:
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = text if pa.types.is_list(text.type) else pc.split_pattern(_none_if_empty(text), LIST_SEPARATOR)
    parts = lists.flatten()
    owner = _numpy(pc.list_parent_indices(lists))
    kept = _numpy(pc.fill_null(pc.not_equal(parts, ""), False))
    wrong = np.zeros(len(text), bool)
    if feature.domain is not None:
        foreign = kept & ~_numpy(pc.is_in(parts, pa.array(feature.domain)))
        wrong[owner[foreign]] = True
    counts = np.bincount(owner[kept], minlength=len(text))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    column = pa.ListArray.from_arrays(offsets, parts.filter(pa.array(kept)))
    column = pc.if_else(pa.array(counts > 0), column, pa.nulls(len(text), column.type))
    return column, wrong, lambda row: f"is not all of {_domain(feature)}"


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


def _none_if_empty(text: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    empty = pc.equal(text, "")
    if not pc.any(empty).as_py():
        return text
    return pc.if_else(empty, pa.scalar(None, pa.string()), text)


def _decode(value: Any) -> str | UnicodeDecodeError | None:
    try:
        return value.decode("utf-8") if isinstance(value, bytes) else None if value is None else str(value)
    except UnicodeDecodeError as error:
        return error


def _numpy(array: pa.Array) -> npt.NDArray[Any]:
    numbers: npt.NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return numbers


def _domain(feature: Feature) -> str:
    allowed = feature.domain or ()
    return ", ".join(allowed[:10]) + (", …" if len(allowed) > 10 else "")


def _never(row: int) -> str:
    raise AssertionError(f"row {row} is not wrong")
