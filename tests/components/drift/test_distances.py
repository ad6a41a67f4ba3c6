import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.components.drift.distances import jensen_shannon, kolmogorov_smirnov


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=20))
def test_jensen_shannon_is_a_divergence(pairs: list[tuple[int, int]]) -> None:
    before, after = (np.array(column) + np.eye(1, len(pairs), dtype=int)[0] for column in zip(*pairs, strict=True))
    value = jensen_shannon(before, after)
    assert -1e-12 <= value <= 1
    assert value == pytest.approx(jensen_shannon(after, before))
    assert jensen_shannon(before, before * 3) == pytest.approx(0)


def test_kolmogorov_smirnov_by_hand() -> None:
    # Cumulative: {1: 0.5, 2: 1} against {1: 0.1, 2: 0.4, 3: 1}: widest at 2.
    assert kolmogorov_smirnov({1: 1, 2: 1}, {1: 1, 2: 3, 3: 6}) == (pytest.approx(0.6), 2)
