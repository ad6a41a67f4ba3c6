"""What a picture of a column shows: its most frequent values, or a number's middle 99% in bars of equal width."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.components.drift.summary import Column, bin_values


def top_values(columns: Sequence[Column], num_bars: int) -> list[Any]:
    """The most frequent values of all columns together, ties by name."""
    together = sum((column.values for column in columns), Counter[Any]())
    return sorted(together, key=lambda value: (-together[value], str(value)))[:num_bars]


def histograms(
    columns: Sequence[Column], num_bars: int
) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[np.float64]]]:
    """Bars over the middle 99% of all columns of numbers together; what lies outside is in the outermost ones.

    Returns:
        edges `[num_bars + 1]`, and of each column `[num_bars]` how many values are between them.
    """
    bins = np.array(sorted(set().union(*(column.values for column in columns))))
    counts = [np.array([column.values.get(int(place), 0) for place in bins], float) for column in columns]
    numbers, mass = bin_values(bins), np.cumsum(np.sum(counts, axis=0))
    places = np.searchsorted(mass / mass[-1], (0.005, 0.995)).clip(max=len(bins) - 1)
    low, high = (float(number) for number in numbers[places])
    edges = np.linspace(low, high if high > low else low + 1, num_bars + 1)
    inside = np.clip(numbers, low, high)
    return edges, [np.histogram(inside, edges, weights=of_column)[0] for of_column in counts]
