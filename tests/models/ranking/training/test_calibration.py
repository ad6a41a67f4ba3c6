import dataclasses

import numpy as np
import pytest
import scipy.special

from homefeed.models.ranking.training.calibration import Calibration, fit_calibration


def _fit(logits: np.ndarray, happened: np.ndarray, interest: np.ndarray | None = None) -> Calibration:
    groups, weights = np.arange(len(logits)), np.ones(len(logits))
    return fit_calibration(logits, happened, np.zeros(len(logits)) if interest is None else interest, groups, weights)


def test_it_finds_what_made_the_data() -> None:
    rng = np.random.default_rng(0)
    logits, interest = rng.normal(0, 2, 40_000), rng.normal(size=40_000)
    chance = scipy.special.expit((0.5 + 0.2 * interest) * logits - 1 + 0.3 * interest)
    fitted = _fit(logits, (rng.random(40_000) < chance).astype(float), interest)
    found = dataclasses.astuple(fitted)[:4]
    assert found == pytest.approx((0.5, -1, 0.2, 0.3), abs=0.05) and not fitted.knots


def test_one_kind_of_answer_calibrates_nothing() -> None:
    assert _fit(np.arange(3.0), np.ones(3)) == Calibration() == _fit(np.empty(0), np.empty(0))


def test_few_events_move_it_little_and_it_stays_finite() -> None:
    fitted = _fit(np.array([-1.0, 1.0]), np.array([0.0, 1.0]))
    assert 1 < fitted.slope < 2
    assert _fit(np.zeros(4), np.array([0.0, 1.0, 0.0, 1.0])).slope == pytest.approx(1.0, abs=1e-3)


def test_an_event_counts_by_its_weight() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 300)
    happened = (rng.random(300) < scipy.special.expit(2 * logits + 0.7)).astype(float)
    times = rng.integers(1, 4, 300)
    nothing, users = np.zeros(300), np.arange(300)
    weighted = fit_calibration(logits, happened, nothing, users, times.astype(float))
    repeated = _fit(np.repeat(logits, times), np.repeat(happened, times))
    assert dataclasses.astuple(weighted)[:4] == pytest.approx(dataclasses.astuple(repeated)[:4], abs=1e-3)


def test_isotonic_where_a_sigmoid_does_not_fit() -> None:
    """0.2 below, 0.7 above: a step."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    fitted = _fit(logits, (rng.random(20_000) < np.where(logits > 0, 0.7, 0.2)).astype(float))
    assert fitted.knots
    assert fitted(np.array([-3.0, -1.0, 1.0, 3.0])) == pytest.approx([0.2, 0.2, 0.7, 0.7], abs=0.06)
    curve = fitted(np.linspace(-20, 20, 500))
    assert (np.diff(curve) >= -1e-9).all() and curve[0] == pytest.approx(0.2, abs=0.03)


def test_users_are_not_judged_by_what_was_fitted_to_them() -> None:
    """What a curve learns by heart of two users, each in one half, is of no use to the other."""
    logits = np.linspace(-3, 3, 2400)
    groups = np.repeat([0, 1], 1200)
    logits[:1200], logits[1200:] = np.linspace(-3, 3, 1200), np.linspace(-3, 3, 1200)
    step = (np.arange(1200) // 75) % 2
    happened = np.concatenate([step, 1 - step]).astype(float)
    assert not fit_calibration(logits, happened, np.zeros(2400), groups, np.ones(2400)).knots
