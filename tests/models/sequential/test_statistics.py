"""Statistics of experiments against those of others, and against what they promise."""

from __future__ import annotations

import json
import math
import pathlib

import numpy as np
import pytest

from benchmarks import experiments
from homefeed.models.sequential import confidence, counts
from homefeed.models.sequential.confidence import half_width, p_value
from homefeed.models.sequential.drafting import team_draft
from homefeed.models.sequential.interleaving import preference
from homefeed.models.sequential.power import needed
from homefeed.models.sequential.ratios import Sums, effect
from tests.models.sequential import users

OTHERS = json.loads((pathlib.Path(__file__).parent / "others.json").read_text())
CONTROL, TREATMENT = users.arms()


def test_ratio_variance_interval_and_p_are_those_of_gbstats() -> None:
    found = effect(Sums.of(CONTROL[:, :2]), Sums.of(TREATMENT[:, :2]))
    ours = {
        "difference": found.difference,
        "variance": found.variance,
        "half_width": half_width(found.variance, found.num_users, users.PLANNED),
        "p_value": p_value(found.difference, found.variance, found.num_users, users.PLANNED),
    }
    assert ours == pytest.approx(OTHERS["ratio"], rel=1e-9)
    assert found.saved == 0


def test_the_past_counts_as_in_gbstats() -> None:
    """They adjust means only, and take the weight around the mean of both arms: it is nearly ours."""
    means = [rows.copy() for rows in (CONTROL, TREATMENT)]
    for rows in means:
        rows[:, [1, 3]] = 1.0
    found = effect(*map(Sums.of, means))
    assert found.difference == pytest.approx(OTHERS["adjusted"]["difference"], rel=0.02)
    assert found.variance == pytest.approx(OTHERS["adjusted"]["variance"], rel=1e-3)
    assert found.variance <= OTHERS["adjusted"]["variance"]


def test_an_interval_of_one_mean_is_that_of_ville() -> None:
    """Their mixture's precision is 1 / ρ², and the exact best one; ours is the paper's approximation of it."""
    values, spread = CONTROL[:, 0], len(CONTROL) / OTHERS["one_mean"]["rho"]
    variance = values.var(ddof=1) / len(values)
    exact = math.sqrt(variance * 2 * (spread + 1) / spread * math.log(math.sqrt(spread + 1) / 0.05))
    assert exact == pytest.approx(OTHERS["one_mean"]["half_width"], rel=1e-9)
    assert half_width(variance, len(values), 500) == pytest.approx(exact, rel=2e-3)


def test_evidence_of_signs_is_that_of_ville() -> None:
    second = users.signs().sum()
    assert counts.log_evidence([500 - second, second], [1, 1], 2.0) == pytest.approx(OTHERS["signs"], rel=1e-9)


def test_covariance_is_the_unbiased_one() -> None:
    np.testing.assert_allclose(Sums.of(CONTROL).covariance, np.cov(CONTROL.T))


def test_arms_without_anything_say_nothing() -> None:
    found = effect(Sums(), Sums.of(CONTROL[:1]))
    assert math.isfinite(found.difference) and found.variance == 0
    assert half_width(1.0, confidence.MIN_USERS - 1, 1_000) == math.inf
    assert p_value(1.0, 1.0, confidence.MIN_USERS - 1, 1_000) == 1
    assert p_value(1.0, 0.0, 10_000, 1_000) == 1


def test_whoever_looks_a_hundred_times_is_wrong_in_one_run_of_twenty_at_most() -> None:
    """A small version of `benchmarks.experiments`, which makes 2,000 runs."""
    found = experiments.rates(100, num_users=1_200)
    assert found["sequence_any_look"] <= 0.06
    assert found["users_any_look"] > 0.2 and found["pages_any_look"] > found["users_any_look"]


def test_a_lift_is_found() -> None:
    assert experiments.rates(20, 0.6, num_users=3_000)["sequence_any_look"] > 0.9


def test_a_wrong_split_is_found_and_a_right_one_is_none() -> None:
    assert experiments.sample_ratio(100, 0.51)[0] >= 0.95
    assert experiments.sample_ratio(100, 0.5)[0] == 0


def test_shares_need_no_sum_of_one_and_three_arms_are_three() -> None:
    even = [20_000, 20_000, 20_000]
    assert counts.p_value(even, [1, 1, 1]) == 1
    assert counts.p_value(even, [2, 1, 1]) < 1e-9
    assert counts.p_value([40_000, 20_000, 20_000], [0.5, 0.25, 0.25]) == 1
    over_time = [[100, 100], [6_000, 4_000], [30_000, 30_000]]
    assert counts.p_value(over_time, [1, 1]) == counts.p_value(over_time[1], [1, 1]) < 1e-9


def test_the_past_saves_what_it_says() -> None:
    found = experiments.cuped(600)
    assert 0.25 < found["variance_saved"] < 0.6
    assert found["variance_saved_in_truth"] == pytest.approx(found["variance_saved"], abs=0.12)


def test_as_many_users_as_are_needed_are_enough() -> None:
    """And a third fewer are not, for an interval that is looked at once, at the planned size."""
    variance, difference = Sums.of(CONTROL).variances()[0], 0.02
    users_needed = needed((variance, variance), difference, (0.3, 0.7)).sequential
    rng = np.random.default_rng(0)

    def power(num_users: int) -> float:
        error = math.sqrt(variance * (1 / 0.3 + 1 / 0.7) / num_users)
        width = half_width(error**2, num_users, num_users)
        return float((rng.normal(difference, error, 20_000) > width).mean())

    assert power(users_needed) == pytest.approx(0.8, abs=0.01)
    assert power(users_needed * 2 // 3) < 0.6


def test_a_draft_is_fair_and_has_no_item_twice() -> None:
    rng, lists = np.random.default_rng(5), [[f"a{n}" for n in range(6)], [f"b{n}" for n in range(3)]]
    lists[1][1:1] = ["a0"]
    ahead = 0
    for _ in range(400):
        drafted = team_draft(lists, lambda: int(rng.integers(2)), 8)
        items, teams = zip(*drafted, strict=True)
        assert len(set(items)) == 8 and set(teams[:2]) == {0, 1}
        ahead += teams[0]
    assert 150 < ahead < 250
    assert [item for item, _ in team_draft(lists, lambda: 0, 20)] == [
        "a0",
        "b0",
        "a1",
        "b1",
        "a2",
        "b2",
        "a3",
        "a4",
        "a5",
    ]


def test_a_preference_is_found_where_there_is_one() -> None:
    rng = np.random.default_rng(1)
    none, some = (rng.poisson([1.0, 1.0 + more], (600, 2)) for more in (0.0, 0.5))
    assert preference(none).p_value > 0.05 and abs(preference(none).preference) < 0.06
    found = preference(some)
    assert found.p_value < 0.001 and found.sign_test < found.p_value and found.preference > 0.1
    assert preference(some[:, ::-1]).preference == pytest.approx(-found.preference)
    assert preference([]) == (0, 0, 0, 0.0, 1.0, 1.0)
