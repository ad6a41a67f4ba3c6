import numpy as np
import pytest

from homefeed.components.drift.summary import bin_values, bins


def test_bins_keep_order_and_size() -> None:
    numbers = np.array([-1e6, -2000, -1.5, -0.0, 0.0, 1e-9, 1.5, 1999, 2000, 1e6])
    places = bins(numbers)
    assert places[3] == places[4]
    assert np.all(np.diff(np.delete(places, 3)) > 0)
    assert bin_values(places) == pytest.approx(numbers, rel=1e-3, abs=1e-30)
