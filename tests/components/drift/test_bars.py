import numpy as np
import pytest

from homefeed.components.drift.bars import histograms, top_values
from homefeed.components.drift.summary import Column, bins


def column(kind: str, counts: dict[object, int]) -> Column:
    found = Column.empty(kind)
    found.values.update(counts)
    return found


def numbers(*values: float) -> Column:
    places, counts = np.unique(bins(np.array(values, float)), return_counts=True)
    return column("number", dict(zip(places.tolist(), counts.tolist(), strict=True)))


def test_the_most_frequent_values_of_all_together() -> None:
    before, after = column("category", {"a": 5, "b": 4, "c": 1}), column("category", {"c": 5, "d": 5})
    assert top_values([before, after], 3) == ["c", "a", "d"]  # 6, then 5 and 5 by name.
    assert top_values([before], 10) == ["a", "b", "c"]
    assert top_values([column("category", {})], 3) == []


def test_bars_are_of_equal_width_and_hold_everything() -> None:
    edges, (first, second) = histograms([numbers(0, 1, 2, 3, 4), numbers(4, 4)], 4)
    assert edges == pytest.approx([0, 1, 2, 3, 4], abs=0.01)
    assert first.sum() == 5 and second.tolist() == [0, 0, 0, 2]


def test_what_lies_far_out_is_in_the_outermost_bars() -> None:
    values = [*range(1000), -1e9, 1e9]
    edges, (bars,) = histograms([numbers(*values)], 10)
    # The middle 99% of 1,002 values: without about five on either side.
    assert 0 < edges[0] < 10 and 990 < edges[-1] < 1000
    assert bars.sum() == 1002 and bars[0] == pytest.approx(100, abs=8) == bars[-1]


@pytest.mark.parametrize("value", [0.0, -3.5, 1e30])
def test_one_value_alone_has_a_bar(value: float) -> None:
    edges, (bars,) = histograms([numbers(value, value, value)], 5)
    assert bars.sum() == 3 and (np.diff(edges) >= 0).all()
