import functools
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.components.example_gen import times
from homefeed.components.example_gen.times import Times, count_times, merge_times, no_times


def plain(histogram: Times) -> tuple[int, dict[int, int]]:
    width, bins, counts = histogram
    assert (np.diff(bins) > 0).all()
    return width, dict(zip(bins.tolist(), counts.tolist(), strict=True))


def test_seconds_are_counted() -> None:
    assert plain(count_times(np.array([5, 3, 5, -1]))) == (1, {-1: 1, 3: 1, 5: 2})
    assert plain(no_times()) == (1, {})


def test_histograms_add_up() -> None:
    parts = [count_times(np.array(part)) for part in ([1, 2], [2, 3, 3])]
    assert plain(merge_times([no_times(), *parts])) == (1, {1: 1, 2: 2, 3: 2})


def test_bins_grow_until_they_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "MAX_TIME_BINS", 3)
    # 0 … 7 are eight bins of one second, four of two, two of four.
    assert plain(merge_times([count_times(np.arange(8))])) == (4, {0: 4, 1: 4})
    # A histogram that is coarse already makes the sum as coarse.
    coarse = merge_times([count_times(np.arange(8))])
    # Of four seconds there would be four bins, -1 to 2: too many.
    assert plain(merge_times([count_times(np.array([-1, 9])), coarse])) == (8, {-1: 1, 0: 8, 1: 1})


@given(st.lists(st.lists(st.integers(-1000, 1000), min_size=1, max_size=10), min_size=1, max_size=6))
def test_the_order_in_which_times_come_does_not_matter(parts: list[list[int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "MAX_TIME_BINS", 5)
        histograms = [count_times(np.array(part)) for part in parts]
        at_once = plain(merge_times(histograms))
        backwards = functools.reduce(lambda total, one: merge_times([total, one]), histograms[::-1], no_times())
        assert plain(backwards) == at_once
    width, counted = at_once
    everything = list(itertools.chain.from_iterable(parts))
    assert counted == {place: sum(time // width == place for time in everything) for place in counted}
    assert sum(counted.values()) == len(everything) and len(counted) <= 5
