import datetime
import zoneinfo

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.models.shared.local_time import POSITIONS, LocalTime, offsets

ZONES = ("UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
LAST = 4_102_444_799  # The last second of 2099.


@pytest.mark.parametrize("zone", ZONES)
@settings(max_examples=60, deadline=None)
@given(seconds=st.lists(st.integers(1, LAST), min_size=1, max_size=20))
def test_hours_and_weekdays_are_those_of_the_calendar(zone: str, seconds: list[int]) -> None:
    found = LocalTime(zone)(tf.constant(seconds, tf.int64))
    local = [datetime.datetime.fromtimestamp(second, zoneinfo.ZoneInfo(zone)) for second in seconds]
    assert (found["hour"].numpy() - 2).tolist() == [time.hour for time in local]
    assert (found["weekday"].numpy() - 2).tolist() == [time.weekday() for time in local]


def test_summer_time_begins_at_its_second() -> None:
    # In Berlin, 29 March 2026, 02:00 becomes 03:00 at 01:00 UTC.
    begin = int(datetime.datetime(2026, 3, 29, 1, tzinfo=datetime.UTC).timestamp())
    found = LocalTime("Europe/Berlin")(tf.constant([begin - 1, begin], tf.int64))
    assert found["hour"].numpy().tolist() == [1 + 2, 3 + 2] and found["weekday"].numpy().tolist() == [6 + 2, 6 + 2]
    starts, values = offsets("Europe/Berlin")
    assert begin in starts and values[starts.tolist().index(begin)] == 7200


def test_an_unknown_time_is_an_unknown_hour_and_shapes_are_kept() -> None:
    found = LocalTime("Asia/Shanghai")(tf.constant([[0, 1], [-5, 57_599]], tf.int64))
    # 1970-01-01 08:00:01 and 23:59:59 in Shanghai, a Thursday.
    np.testing.assert_array_equal(found["hour"], [[0, 8 + 2], [0, 23 + 2]])
    np.testing.assert_array_equal(found["weekday"], [[0, 3 + 2], [0, 3 + 2]])
    assert POSITIONS == {"hour": 26, "weekday": 9}


def test_it_runs_in_a_graph() -> None:
    local = tf.function(LocalTime("UTC"), input_signature=[tf.TensorSpec([None, None], tf.int64)])
    assert local(tf.zeros([0, 3], tf.int64))["hour"].shape == (0, 3)
