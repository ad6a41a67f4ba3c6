"""Times as numbers and text, right to the second or refused; the right values are the calendar module's."""

import calendar
import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.schemas import times
from homefeed.schemas.columns import Unit


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


def test_digits_of_dates_among_seconds_are_refused() -> None:
    dates = ["20240131", "202401312359", "20240131235958", "202401"]
    assert read(["1700000000"] * 5 + dates) == [1_700_000_000] * 5 + [None] * 4
    assert read(["1700000000123"] * 5 + dates) == [1_700_000_000] * 5 + [None] * 4
    assert read([*map(str, range(3000))]) == [*range(3000)]  # Numbers of events.
    assert read(dates, "s")[0] == 20_240_131


MISREAD = {
    "Excel's days": 45_000.5,
    "days": 19_675,
    "hours": 472_222,
    "minutes": 28_333_333,
    "digits without a century": 231_114,
    "day, month, year": 14_112_023,
    "seconds since 2001": 1_700_000_000 - 978_307_200 - 10**8,
    ".NET's ticks": 638_355_968 * 10**9,
    "Windows' file times": 133_444_736 * 10**9,
    "seconds back from now": -3600,
}


@pytest.mark.parametrize("what", MISREAD)
def test_what_is_no_time_since_1970_is_told_by_its_middle(what: str) -> None:
    column = pa.array([str(MISREAD[what])])
    unit = times.choose_unit(times.count_units(column))
    seconds, _ = times.read(column, unit, is_declared=False)
    late = np.array([1_700_000_000])
    said = times.misread(np.concatenate([seconds, late]), np.array([3, 2]), unit)
    assert f"timestamp, unit: {unit}}}}}`" in said and "before 1991" in said
    assert not times.misread(np.concatenate([seconds, late]), np.array([2, 3]), unit)


def test_numbers_of_events_are_times_too() -> None:
    assert not times.misread(np.arange(5000), np.ones(5000, np.int64), "s")


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
        ("1997年12月4日", 881193600),
        ("1997年12月04日 15:55:49", 881250949),
        ("1997/12/4", 881193600),
        ("1997/12/04 15:55:49.9", 881250949),
        ("1997/12/4 3:55:49 UTC", 881250949 - 12 * 3600),
        ("1997-12-4T15:55", 881250940 - 40),
        ("1997-W49-4", 881193600),
        ("0001-01-01T00:00:00+14:00", -62_135_596_800 - 14 * 3600),
        # Refused: what means several zones, no date, another order, no such day.
        ("1997-12-04 15:55:49 CST", None),
        ("1997-12-04 15:55:49 Europe/Nowhere", None),
        ("1997-12-04 15:55:49 ../../etc/passwd", None),
        ("15:55:49", None),
        ("04/12/1997", None),
        ("97/12/04", None),
        ("1997/13/04", None),
        ("1997年12月", None),
        ("1997-12-31T24:00:00", None),
        ("1998-12-31T23:59:60Z", None),
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
