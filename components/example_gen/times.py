"""When events happened, as a histogram that stays small however long the log is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

MAX_TIME_BINS = 2**16

Times = tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Width of a bin in seconds, the bins' numbers (ascending), and how many events are in each."""


def no_times() -> Times:
    """The histogram of no events."""
    return 1, np.empty(0, np.int64), np.empty(0, np.int64)


def count_times(seconds: npt.NDArray[np.int64]) -> Times:
    """The histogram of some events, exact to the second."""
    bins, counts = np.unique(seconds, return_counts=True)
    return 1, bins, counts


def merge_times(histograms: Iterable[Times]) -> Times:
    """Adds histograms up: exact to the second while there are few bins, and else as fine as MAX_TIME_BINS allows.

    The width depends on all times together and not on the order in which they come.
    """
    parts = list(histograms)
    width = max(part[0] for part in parts)
    bins = np.concatenate([bins // (width // part_width) for part_width, bins, _ in parts])
    counts = np.concatenate([counts for _, _, counts in parts])
    while True:
        merged, where = np.unique(bins, return_inverse=True)
        if len(merged) <= MAX_TIME_BINS:
            return width, merged, np.bincount(where, counts, len(merged)).astype(np.int64)
        width, bins = width * 2, bins // 2
