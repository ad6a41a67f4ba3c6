import numpy as np
import pytest

from homefeed.models.evaluation.group_gaps import activity_gap, expected_alike
from homefeed.models.evaluation.resampling import UserBootstrap


def test_what_is_known_of_queries_explains_a_gap_and_the_rest_is_the_groups() -> None:
    rng = np.random.default_rng(0)
    length = rng.integers(0, 9, 600).astype(np.float64)
    group = (np.arange(600) % 3 == 0) | (length > 6)
    gains = 0.1 + 0.05 * length - 0.04 * group
    found = expected_alike(UserBootstrap(np.arange(600) // 2, 50), gains, length[:, None], group)
    assert found[0] == pytest.approx((gains[group] + 0.04).mean(), abs=1e-4)
    assert found.shape == (51,) and np.allclose(found, gains[group].mean() + 0.04, atol=0.08)


def test_a_column_that_never_changes_does_no_harm() -> None:
    gains, group = np.array([1.0, 2.0, 3.0, 10.0]), np.array([False, False, False, True])
    found = expected_alike(UserBootstrap(np.arange(4), 1), gains, np.zeros((4, 2)), group)
    assert found[0] == pytest.approx(2.0, abs=1e-4)


def test_half_of_the_events_are_about_log_half() -> None:
    events, times = np.array([30.0, 30.0, 0.0, 10.0, 20.0]), np.array([10.0, 20.0, 5.0, 5.0, 20.0])
    group = np.array([False, False, True, True, True])
    gap = activity_gap(UserBootstrap(np.arange(5), 2), events, times, group)
    assert gap[0] == pytest.approx(np.log(0.5))  # 60 events in 30, and 30 in 30.
    twice = activity_gap(UserBootstrap(np.arange(5), 2), 2 * events, 2 * times, group)
    assert twice[0] == pytest.approx(np.log(0.5))


def test_the_one_who_does_most_counts_as_those_below() -> None:
    events, group = np.ones(200), np.arange(200) < 100
    events[0] = 1e6  # The 95th of a hundred has 1.
    assert activity_gap(UserBootstrap(np.arange(200), 2), events, np.ones(200), group)[0] == pytest.approx(0.0)
