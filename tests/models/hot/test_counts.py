import numpy as np
import pytest

from homefeed.models.hot.counts import DecayedCounts

HALF_LIVES = (600.0, 86_400.0)


def by_definition(rows: np.ndarray, at: np.ndarray, now: float, num_rows: int) -> np.ndarray:
    counts = np.zeros((num_rows, len(HALF_LIVES)))
    for row, second in zip(rows.tolist(), at.tolist(), strict=True):
        counts[row] += [0.5 ** ((now - second) / half_life) for half_life in HALF_LIVES]
    return counts


@pytest.mark.parametrize("days", [0.1, 30, 400])  # 57,600 half-lives of ten minutes: numbers would overflow.
def test_as_defined_in_any_order_and_in_any_batches(days: float) -> None:
    rng = np.random.default_rng(0)
    rows, at = rng.integers(20, size=500), 1_700_000_000 + rng.integers(days * 86_400, size=500)
    counts = DecayedCounts(20, HALF_LIVES)
    for part in np.array_split(rng.permutation(500), 17):
        counts.add(rows[part], at[part])
    now = float(at.max())
    expected = by_definition(rows, at, now, 20)
    np.testing.assert_allclose(counts.as_of(now), expected, rtol=1e-9, atol=1e-12)
    later = expected[[3, 3, 7]] * 0.5 ** (600 / np.array(HALF_LIVES))
    np.testing.assert_allclose(counts.as_of(now + 600, np.array([3, 3, 7])), later, rtol=1e-9, atol=1e-12)


def test_nothing_counted() -> None:
    counts = DecayedCounts(3, HALF_LIVES)
    counts.add(np.empty(0, np.int64), np.empty(0, np.int64))
    assert not counts.as_of(5.0).any()


def test_more_rows_keep_what_was_counted() -> None:
    counts = DecayedCounts(2, HALF_LIVES)
    counts.add(np.array([1]), np.array([100]))
    counts.grow(5)
    counts.add(np.array([4]), np.array([100]))
    assert counts.as_of(100.0)[:5, 0].tolist() == [0, 1, 0, 0, 1]


def test_taken_over_from_another_that_began_at_another_time() -> None:
    one, other = DecayedCounts(3, HALF_LIVES), DecayedCounts(2, HALF_LIVES)
    other.add(np.array([0, 1, 1]), np.array([0, 300, 600]))
    one.add(np.array([2]), np.array([900]))
    one.take(np.array([2, 2]), other, np.array([0, 1]))
    expected = by_definition(np.array([2, 2, 2, 2]), np.array([0, 300, 600, 900]), 1000.0, 3)
    np.testing.assert_allclose(one.as_of(1000.0), expected)
