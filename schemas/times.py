"""Times as they are written, and the Unix seconds that they are. The unit of numbers belongs to a whole column."""

from __future__ import annotations

import datetime
import math
import re
import zoneinfo
from collections import Counter
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
import numpy.typing as npt

from homefeed.schemas.columns import Unit
from homefeed.schemas.settings import Form

if TYPE_CHECKING:
    import pyarrow as pa

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

PER_SECOND: dict[Unit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
NAMES: dict[Unit, str] = {
    "s": "Unix seconds",
    "ms": "milliseconds since 1970",
    "us": "microseconds since 1970",
    "ns": "nanoseconds since 1970",
    "date": "digits of dates (20240131)",
}
LIMIT_SECONDS = 10**10  # The year 2286; in milliseconds, April 1970.
FIRST, LAST = -62_135_596_800, 253_402_300_799  # The years 1 to 9999.
YEARS = (1800, 2200)  # That digits of dates may have.
YEARS_WITH_HOUR = (1900, 2100)  # In YYYYMMDDHH, because below these are the Unix seconds of our days.
DATE = re.compile(r"(\d{4})[-/年](\d\d?)[-/月](\d\d?)日?(?:[T\s]*(\d\d?)(:.*))?")  # As it is often written.
FIRST_LOG = 681_436_800  # August 1991, when the Web began: who has events of before has not seconds since 1970.
COUNTERS = 10_000  # Times below it are numbers of events rather than days, minutes or dates.
ZONE_NAME = re.compile(r"(.*\d)(Z|[-+]\d\d:?\d\d)?\s*(?:\[([A-Za-z][\w+/-]*)\]|\s([A-Za-z][\w+/-]*))")


class _Parsed(NamedTuple):
    """A column, before the unit of its numbers is known; 0 where it is null or wrong."""

    values: Ints  # [num_rows] numbers, rounded down, or Unix seconds.
    are_numbers: Mask
    wrong: Mask  # Neither a number nor a time in ISO 8601.


def read(text: pa.Array, unit: Unit, is_declared: bool) -> tuple[Ints, Mask]:
    """[num_rows] Unix seconds, rounded down, and which are wrong; of no meaning where the text is null.

    Args:
        text: [num_rows] string: numbers or ISO 8601, UTC if it says nothing; `UTC`, `GMT` or a name such as
            Europe/Paris may follow it. Or int64: Unix seconds.
        unit: of the numbers.
        is_declared: whether somebody said so. If not, numbers whose size tells another unit are wrong.
    """
    values, are_numbers, wrong = _parse(text)
    if unit == "date":
        seconds, fits = from_digits(values)
    else:
        seconds = values // PER_SECOND[unit]
        fits = (seconds >= FIRST) & (seconds <= LAST)
        if not is_declared:
            are_dates = from_digits(values)[1] & (values >= COUNTERS)
            fits = (values == 0) | ((_sizes(values) == list(PER_SECOND).index(unit)) & ~are_dates)
    return np.where(are_numbers, seconds, values), wrong | (are_numbers & ~fits)


def count_units(text: pa.Array) -> Counter[Unit]:
    """How many numbers of a column are, by their size, in which unit. 0 is the same in all, and does not count."""
    values, are_numbers, _ = _parse(text)
    values = values[are_numbers & (values != 0)]
    _, are_dates = from_digits(values)
    counts = np.bincount(_sizes(values[~are_dates]), minlength=len(PER_SECOND))[: len(PER_SECOND)]
    found: Counter[Unit] = Counter(
        {unit: int(count) for unit, count in zip(PER_SECOND, counts, strict=True) if count}
    )
    found["date"] += int(are_dates.sum())
    return +found


def choose_unit(counts: Counter[Unit]) -> Unit:
    """The unit of most of a column's numbers; seconds, if there are none.

    >>> choose_unit(Counter({"s": 1, "ms": 40}))
    'ms'
    """
    return max(NAMES, key=lambda unit: counts[unit])


def misread(seconds: Ints, counts: Ints, unit: Unit) -> str:
    """What is wrong where most events seem to be older than logs are, by a unit that nobody declared; or nothing.

    Days (Excel's too), minutes, digits such as YYMMDD, and counts since another year than 1970 look so.

    Args:
        seconds: [num_bins] Unix seconds, ascending.
        counts: [num_bins] events at each.
        unit: in which they were numbers.
    """
    middle = int(seconds[np.searchsorted(np.cumsum(counts), counts.sum() / 2)])
    if middle >= FIRST_LOG or 0 <= middle < COUNTERS:
        return ""
    moment = datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(seconds=middle)
    return (
        f"interactions: the times, read as {NAMES[unit]}, are of before 1991, the middle one of {moment:%Y-%m-%d}. "
        f"If they are, say so: `interactions.features: {{timestamp: {{kind: timestamp, unit: {unit}}}}}`; if not, "
        "write them as ISO 8601."
    )


def moment(text: str) -> int | None:
    """Unix seconds of one time in ISO 8601, or of a number in whichever unit its size tells; None: it is none.

    >>> [moment(text) for text in ("2024-01-31", "1706659200000", "20240131", "1706659200.5", "soon")]
    [1706659200, 1706659200, 1706659200, 1706659200, None]
    """
    import pyarrow as pa

    column = pa.array([text])
    (seconds,), (is_wrong,) = read(column, choose_unit(count_units(column)), is_declared=False)
    return None if is_wrong else int(seconds)


def _is_time_or_none(text: str) -> bool:
    return not text or moment(text) is not None


TimeOrNone = Annotated[str, Form("a time such as 2024-01-31T18:00, or nothing", _is_time_or_none)]
"""A setting."""


def from_digits(values: Ints) -> tuple[Ints, Mask]:
    """Unix seconds of dates that are written as numbers, and which numbers are dates.

    YYYY, YYYYMM, YYYYMMDD, YYYYMMDDHH, YYYYMMDDHHMM and YYYYMMDDHHMMSS are.

    >>> from_digits(np.array([1971, 20240131, 20241331]))
    (array([  31536000, 1706659200,          0]), array([ True,  True, False]))
    """
    digits = np.searchsorted(10 ** np.arange(1, 15), values, side="right") + 1  # At least 1; 15: too many.
    is_form = (digits >= 4) & (digits <= 14) & (digits % 2 == 0)
    full = np.where(is_form, values, 0) * 10 ** np.where(is_form, 14 - digits, 0)
    full += np.where(is_form & (digits == 4), 100_000_000, 0) + np.where(is_form & (digits <= 6), 1_000_000, 0)
    year, month, day, hour, minute, second = (full // 10**at % 10**size for at, size in _PLACES)
    low = np.where(digits == 10, YEARS_WITH_HOUR[0], YEARS[0])
    high = np.where(digits == 10, YEARS_WITH_HOUR[1], YEARS[1])
    fits = is_form & (year >= low) & (year <= high) & (month >= 1) & (month <= 12)
    months = np.where(fits, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    begins, ends = (edge.astype("datetime64[D]").astype(np.int64) for edge in (months, months + 1))
    fits &= (day >= 1) & (day <= ends - begins) & (hour < 24) & (minute < 60) & (second < 60)
    seconds = (begins + day - 1) * 86_400 + hour * 3600 + minute * 60 + second
    return np.where(fits, seconds, 0), fits


_PLACES = ((10, 4), (8, 2), (6, 2), (4, 2), (2, 2), (0, 2))  # Of year to second: the digits below it, and its own.


def from_iso(text: str) -> int | None:
    """Unix seconds of a time in ISO 8601, or with a date such as 2024年1月31日 or 2024/1/31; None: it is none.

    >>> from_iso("1997-12-04T15:55:49Z"), from_iso("1997-12-04 16:55:49 Europe/Paris"), from_iso("soon")
    (881250949, 881250949, None)
    >>> from_iso("1997年12月4日 15:55:49"), from_iso("1997/12/4 15:55:49")
    (881250949, 881250949)
    """
    text = text.strip()
    dated = DATE.fullmatch(text)
    if dated:
        year, month, day, hour, rest = dated.groups()
        text = f"{year}-{month:0>2}-{day:0>2}" + (f"T{hour:0>2}{rest}" if hour else "")
    named = ZONE_NAME.fullmatch(text)
    try:
        if named is None:
            moment = datetime.datetime.fromisoformat(text)
            zone: datetime.tzinfo = datetime.UTC
        else:
            moment = datetime.datetime.fromisoformat(named[1] + (named[2] or ""))
            zone = _zone(named[3] or named[4])
    except (ValueError, LookupError, OSError):
        return None
    return math.floor((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())


def _zone(name: str) -> datetime.tzinfo:
    """By its full name: the short ones (CST, IST) mean several, and are refused."""
    if "/" not in name and name not in ("UTC", "GMT"):
        raise LookupError(name)
    return zoneinfo.ZoneInfo(name)


def _sizes(values: Ints) -> npt.NDArray[np.int64]:
    """[num_rows] place of the unit in PER_SECOND that a number's size tells; beyond them: it is too large for all."""
    limits = np.array([LIMIT_SECONDS * unit for unit in PER_SECOND.values()], np.float64)
    return np.searchsorted(limits, np.abs(values.astype(np.float64)), side="right")


def _parse(text: pa.Array) -> _Parsed:
    import pyarrow as pa
    import pyarrow.compute as pc

    none, valid = np.zeros(len(text), bool), pc.is_valid(text).to_numpy(zero_copy_only=False)
    if pa.types.is_integer(text.type):
        return _Parsed(text.fill_null(0).to_numpy(), none, none)
    whole = _whole_numbers(text)
    if whole is not None:
        return _Parsed(whole, valid, none)
    try:
        numbers = text.cast(pa.float64()).fill_null(0).to_numpy()
    except pa.ArrowInvalid:
        return _parse_each(text)
    fits = np.abs(numbers) < 2**63
    return _Parsed(np.floor(np.where(fits, numbers, 0)).astype(np.int64), valid, valid & ~fits)


def _whole_numbers(text: pa.Array) -> Ints | None:
    """[num_rows] int64 (0 where null) if all are, which is the usual case and quick to read."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        numbers: Ints = text.cast(pa.int64()).fill_null(0).to_numpy()
    except pa.ArrowInvalid:
        return None
    is_hex = pc.any(pc.match_substring(text, "x", ignore_case=True)).as_py()  # Arrow takes 0x10 for 16.
    return None if is_hex else numbers


def _parse_each(text: pa.Array) -> _Parsed:
    values, are_numbers, wrong = [], [], []
    for value in text.to_pylist():
        number = None if value is None else _number(value)
        seconds = from_iso(value) if value is not None and number is None else None
        values.append(number if number is not None else seconds or 0)
        are_numbers.append(number is not None)
        wrong.append(value is not None and number is None and seconds is None)
    return _Parsed(np.array(values, np.int64), np.array(are_numbers, bool), np.array(wrong, bool))


def is_number(text: str) -> bool:
    """Whether it is a number that could be a time, in some unit."""
    return _number(text) is not None


def _number(text: str) -> int | None:
    """Rounded down."""
    if "_" in text:
        return None
    try:
        number = math.floor(float(text)) if any(sign in text for sign in ".eEn") else int(text)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 2**63 else None
