"""How sure P(liked) is: fitted to outcomes of 0 and 1 whose true probabilities are known."""

import dataclasses

import numpy as np
import pytest
import scipy.special

from homefeed.models.ranking.training.uncertainty import Judged, Uncertainty, Unknown, coverage, fit_uncertainty

TRUE = Uncertainty(Unknown(1.0, 0.2), Unknown(1.5, 0.02))


def judged(seed: int = 0, events: int = 12_000, users: int = 800, items: int = 400) -> Judged:
    """Users and items with intercepts of their own, which the more is known of, the more the predictions know."""
    some = np.random.default_rng(seed)
    of_user, of_item = some.integers(0, 40, users), some.integers(0, 200, items)
    user, item = some.integers(users, size=events), some.integers(items, size=events)
    predicted = some.normal(0.5, 1.0, events)
    off = some.normal(size=users) * TRUE.of_users.variance(of_user) ** 0.5
    off_item = some.normal(size=items) * TRUE.of_items.variance(of_item) ** 0.5
    true = scipy.special.expit(predicted + off[user] + off_item[item])
    expected = scipy.special.expit(predicted / (1 + 0.346 * TRUE.variance(of_user[user], of_item[item])) ** 0.5)
    happened = (some.random(events) < true).astype(float)
    return Judged(expected, happened, user, item, of_user[user].astype(float), of_item[item].astype(float))


@pytest.fixture(scope="module")
def fitted() -> Uncertainty:
    return fit_uncertainty(judged())


def test_what_is_not_known_is_found(fitted: Uncertainty) -> None:
    """A line is fitted to logistic outcomes: deviations are found within a quarter, and fall as they should."""
    for found, true in ((fitted.of_users, TRUE.of_users), (fitted.of_items, TRUE.of_items)):
        for count in (0, 10, 40):
            assert found.variance(count) ** 0.5 == pytest.approx(true.variance(count) ** 0.5, rel=0.25)


def test_nine_of_ten_intervals_hold_on_other_data(fitted: Uncertainty) -> None:
    other = judged(1, users=2_000, events=30_000)
    for unknown, groups, known in (
        (fitted.of_users, other.users, other.of_user),
        (fitted.of_items, other.items, other.of_item),
    ):
        covered = coverage(other, unknown, groups, known)
        assert 0.85 <= covered.mean() <= 0.95 and covered.min() > 0.75
    # Who takes probabilities for certain has far too narrow intervals.
    assert coverage(other, Unknown(1e9, 0.0), other.users, other.of_user)[:3].mean() < 0.8


def test_one_event_of_each_says_nothing() -> None:
    some = judged(events=500)
    alone = dataclasses.replace(some, users=np.arange(500), items=np.arange(500))
    found = fit_uncertainty(alone)
    for unknown in (found.of_users, found.of_items):
        assert dataclasses.astuple(unknown) == pytest.approx(dataclasses.astuple(Unknown()), rel=1e-3)


def test_nothing_at_all() -> None:
    nothing, none = np.empty(0), np.empty(0, np.int64)
    found = fit_uncertainty(Judged(nothing, nothing, none, none, nothing, nothing))
    assert found.of_users.precision == pytest.approx(2.0, rel=1e-3)


def test_deviations_are_of_probabilities() -> None:
    sure = Uncertainty(Unknown(1.0, 1.0), Unknown(2.0, 0.0))
    # 1 / (1 + 3) + 1 / 2 = 0.75; 0.2 × 0.8 × √0.75.
    assert sure.deviation(0.2, 3, 100) == pytest.approx(0.16 * 0.75**0.5)
    deviation = Uncertainty().deviation(0.5, np.array([0, 5, 50]), np.array([[0], [100]]))
    assert (np.diff(deviation, axis=1) < 0).all() and (np.diff(deviation, axis=0) < 0).all()
