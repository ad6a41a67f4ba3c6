"""Times as numbers and text, right to the second or refused; the right values are the calendar module's."""

import calendar
import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.schemas import times
from homefeed.schemas.dataset import Unit


def utc(*parts: int) -> int:
    return calendar.timegm(datetime.datetime(*parts).timetuple())


def read(texts: list[str], unit: Unit | None = None) -> list[int | None]:
    """With the unit that is declared, or else the one that the column tells."""
    column = pa.array(texts)
    known = unit or times.choose_unit(times.count_units(column))
    seconds, wrong = times.read(column, known, is_declared=unit is not None)
    return [None if bad else int(second) for second, bad in zip(seconds, wrong, strict=True)]


@pytest.mark.parametrize(("unit", "per_second"), times.PER_SECOND.items())
def test_the_unit_is_the_whole_columns(unit: Unit, per_second: int) -> None:
    moments = [utc(1971, 1, 1), utc(1994, 6, 2, 3, 4, 5), utc(2024, 2, 29), -utc(1999, 1, 1)]
    assert read([str(moment * per_second) for moment in moments]) == moments
    with_fractions = [str(moment * per_second + per_second // 3) for moment in moments]
    assert read(with_fractions) == moments  # Rounded down, before 1970 too.
    assert read([*with_fractions, "0"])[-1] == 0  # In all units.


def test_a_number_that_tells_another_unit_is_refused() -> None:
    seconds, milliseconds = 1_700_000_000, 1_700_000_000_000
    assert read([str(seconds)] * 3 + [str(milliseconds)]) == [seconds] * 3 + [None]
    assert read([str(milliseconds)] * 3 + [str(seconds)]) == [seconds] * 3 + [None]
    # Milliseconds of February 1970, or seconds of 2106: nobody can tell, until somebody says it.
    assert read(["31536000000", "41536000000", "4300000000"]) == [31_536_000, 41_536_000, None]
    assert read(["31536000000", "4300000000", "-1"], "ms") == [31_536_000, 4_300_000, -1]
    assert read(["1e300", "9" * 30, "1700000000"], "s") == [None, None, seconds]
    assert read(["999999999999"], "s") == [None]  # The year 33658.


def test_dates_as_digits() -> None:
    assert read(["1971", "1994", "2024"]) == [utc(1971, 1, 1), utc(1994, 1, 1), utc(2024, 1, 1)]
    assert read(["20240229", "19700101", "18950306"]) == [utc(2024, 2, 29), 0, utc(1895, 3, 6)]
    assert read(["20240131.0", "19991231.0"]) == [utc(2024, 1, 31), utc(1999, 12, 31)]
    assert read(["202401", "197112"]) == [utc(2024, 1, 1), utc(1971, 12, 1)]
    assert read(["20240131235958"]) == [utc(2024, 1, 31, 23, 59, 58)]
    assert read(["202401312359"]) == [utc(2024, 1, 31, 23, 59)]
    assert read(["2024013123"]) == [utc(2024, 1, 31, 23)]
    wrong = ["20240132", "20230229", "20241301"]
    assert read(["20240131"] * 4 + wrong) == [utc(2024, 1, 31)] * 4 + [None] * 3
    assert read(["1", "2", "3"]) == [1, 2, 3]
    assert read(["1994"], "s") == [1994]
    assert read(["20240131", "20240132"], "date") == [utc(2024, 1, 31), None]


@settings(max_examples=200, deadline=None)
@given(st.datetimes(datetime.datetime(1800, 1, 1), datetime.datetime(2200, 12, 31)))
def test_every_date_as_digits(moment: datetime.datetime) -> None:
    moment = moment.replace(microsecond=0)
    expected = calendar.timegm(moment.timetuple())
    assert read([moment.strftime("%Y%m%d%H%M%S")], "date") == [expected]
    assert read([moment.strftime("%Y%m%d")], "date") == [expected - expected % 86_400]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1997-12-04T15:55:49Z", 881250949),
        ("1997-12-04 16:55:49.9+01:00", 881250949),
        ("1997-12-04T15:55:49", 881250949),
        ("1997-12-04 15:55:49 UTC", 881250949),
        ("1997-12-04 15:55:49.123456 GMT", 881250949),
        ("1997-12-04 16:55:49 Europe/Paris", 881250949),
        ("1997-12-04T16:55:49+01:00[Europe/Paris]", 881250949),
        ("1997-12-04T15:55:49Z[UTC]", 881250949),
        ("1997-12-04 21:25:49 Asia/Kolkata", 881250949),
        (" 1997-12-04 ", 881193600),
        ("1969-12-31T23:59:59.5Z", -1),
        ("0001-01-01T00:00:00+14:00", -62_135_596_800 - 14 * 3600),
        # Refused: what means several zones, no date, another order, no such day.
        ("1997-12-04 15:55:49 CST", None),
        ("1997-12-04 15:55:49 Europe/Nowhere", None),
        ("1997-12-04 15:55:49 ../../etc/passwd", None),
        ("15:55:49", None),
        ("04/12/1997", None),
        ("4 Dec 1997", None),
        ("1997-02-30", None),
        ("0000-00-00 00:00:00", None),
        ("0x10", None),
        ("1_000", None),
        ("inf", None),
    ],
)
def test_text(text: str, expected: int | None) -> None:
    assert read([text, "1700000000"])[0] == expected


def test_numbers_and_text_in_one_column() -> None:
    assert read(["1700000000123", "2023-11-14T22:13:20Z"]) == [1_700_000_000] * 2
    column = pa.array(["1700000000", None, "soon", "0", "20240131"])
    assert times.count_units(column) == {"s": 1, "date": 1}
    assert np.array_equal(times.read(column, "s", True)[1], [False, False, True, False, False])
