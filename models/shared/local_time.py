"""Hour and weekday where people live, from a time in Unix seconds, inside the graph."""

from __future__ import annotations

import datetime
import functools
import zoneinfo

import numpy as np
import numpy.typing as npt
import tensorflow as tf

DAY = 86_400
FIRST_YEAR, LAST_YEAR = 1970, 2100  # Later times keep the last offset.
NUM_RESERVED = 2  # Positions of categories: 0 unknown, 1 out of vocabulary.
POSITIONS = {"hour": NUM_RESERVED + 24, "weekday": NUM_RESERVED + 7}
"""Local time as categories → number of positions, as in `FeatureSpec.vocabulary_sizes`."""


class LocalTime:
    """Turns times into categories. Summer time counts: the zone's offsets are constants of the graph.

    Args:
        time_zone: IANA name, such as Asia/Shanghai.
    """

    def __init__(self, time_zone: str):
        self.time_zone = time_zone
        self._starts, self._offsets = offsets(time_zone)

    def __call__(self, seconds: tf.Tensor) -> dict[str, tf.Tensor]:
        """Positions of `hour` (0 to 23) and `weekday` (Monday first), each of the shape of `seconds`.

        Args:
            seconds: [...] int64 Unix seconds; 0 or less is unknown, as is what comes of it.

        Returns:
            `hour` and `weekday` [...] int32, position p stands for p - 2, and 0 for unknown.
        """
        flat = tf.reshape(seconds, [-1])
        place = tf.searchsorted(tf.constant(self._starts), flat, side="right") - 1
        local = flat + tf.gather(tf.constant(self._offsets), tf.maximum(place, 0))
        hour = local % DAY // 3600
        weekday = (local // DAY + 3) % 7  # 1 January 1970 was a Thursday, day 3.
        known = flat > 0
        return {
            name: tf.reshape(tf.where(known, tf.cast(value, tf.int32) + NUM_RESERVED, 0), tf.shape(seconds))
            for name, value in (("hour", hour), ("weekday", weekday))
        }


@functools.cache
def offsets(time_zone: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """When a zone's clocks change, and to what.

    Returns:
        [num_changes] int64 Unix seconds, ascending, and [num_changes] int64 seconds to add to UTC from then on.
    """
    zone = zoneinfo.ZoneInfo(time_zone)

    def offset(second: int) -> int:
        found = datetime.datetime.fromtimestamp(second, zone).utcoffset()
        assert found is not None
        return int(found.total_seconds())

    first, last = (
        int(datetime.datetime(year, 1, 1, tzinfo=datetime.UTC).timestamp()) for year in (FIRST_YEAR, LAST_YEAR)
    )
    starts, values = [first], [offset(first)]
    for day in range(first + DAY, last, DAY):
        if offset(day) != values[-1]:
            low, high = day - DAY, day  # Clocks change once a day at most.
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if offset(middle) != values[-1] else (middle, high)
            starts.append(high)
            values.append(offset(high))
    return np.array(starts, np.int64), np.array(values, np.int64)
