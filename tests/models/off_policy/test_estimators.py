import math

import numpy as np
import pytest

from homefeed.models.off_policy import estimators

USERS = np.array(["b", "a", "a", "c", "b"])
REWARDS = np.array([1.0, 0.0, 1.0, 0.0, 1.0])
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.0, 4.0])
PREDICTED, OF_POLICY = np.array([0.5, 0.25, 0.5, 0.25, 0.75]), np.array([0.5, 0.25, 0.75, 0.0, 1.0])


def test_values_are_those_of_the_formulas() -> None:
    # (0.5 + 1 + 4) / 5, and over the sum of weights, 7.5.
    assert estimators.ips(REWARDS, WEIGHTS, USERS).value == pytest.approx(5.5 / 5)
    assert estimators.snips(REWARDS, WEIGHTS, USERS).value == pytest.approx(5.5 / 7.5)
    # The mean of the policy's is 0.5; residuals 0.5, -0.25, 0.5, -0.25, 0.25 weigh 0.25 - 0.5 + 0.5 + 1 = 1.25.
    found = estimators.doubly_robust(REWARDS, WEIGHTS, USERS, PREDICTED, OF_POLICY)
    assert found.value == pytest.approx(0.5 + 1.25 / 7.5)
    assert estimators.on_policy(REWARDS, USERS).value == pytest.approx(0.6)


def test_size_and_clipping_are_told() -> None:
    # Squares: 0.25 + 4 + 1 + 16 = 21.25.
    found = estimators.snips(REWARDS, WEIGHTS, USERS)
    assert found.effective_sample_size == pytest.approx(7.5**2 / 21.25) and found.mean_weight == 1.5
    cut = estimators.snips(REWARDS, WEIGHTS, USERS, max_weight=2.0)
    # Weights 0.5, 2, 1, 0, 2: of 5.5, 3.5 were taken; one of five rows was cut.
    assert (cut.value, cut.clipped, cut.mean_weight) == (pytest.approx(3.5 / 5.5), 0.2, 1.5)
    assert found.clipped == 0


def test_the_interval_is_that_of_a_ratio_of_sums_of_users() -> None:
    # Sums of reward and weight: a 1 of 3, b 4.5 of 4.5, c 0 of 0. Less the value of each weight, over 7.5.
    value = 5.5 / 7.5
    off = np.array([1 - 3 * value, 4.5 - 4.5 * value, 0]) / 7.5
    half = 4.302653 * math.sqrt(3 / 2 * (off @ off))  # Student's t of two degrees of freedom.
    found = estimators.snips(REWARDS, WEIGHTS, USERS)
    assert found.interval == pytest.approx((value - half, value + half), rel=1e-6)
    same = found.less(found)
    assert same.value == 0 and same.interval == (0, 0)
    lifted = found.less(estimators.on_policy(REWARDS, USERS))
    assert lifted.value == pytest.approx(value - 0.6) and lifted.interval[0] < lifted.value < lifted.interval[1]


def test_pages_of_one_user_are_not_so_many_users() -> None:
    rewards, weights = np.tile(REWARDS, 20), np.tile(WEIGHTS, 20)
    repeated = estimators.snips(rewards, weights, np.tile(USERS, 20))
    apart = estimators.snips(rewards, weights, np.arange(100))
    width = [high - low for low, high in (repeated.interval, apart.interval)]
    assert width[0] > 3 * width[1]
    assert estimators.snips(rewards, weights, np.zeros(100)).interval == (-math.inf, math.inf)


def test_what_nothing_is_known_of_has_no_value() -> None:
    found = estimators.snips(REWARDS, np.zeros(5), USERS)
    assert math.isnan(found.value) and found.effective_sample_size == 0
    assert found.interval == (-math.inf, math.inf)


def test_wrong_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="5 rewards, 4 weights"):
        estimators.ips(REWARDS, WEIGHTS[:4], USERS)
    with pytest.raises(ValueError, match="0 rewards"):
        estimators.snips([], [], [])
    for wrong in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="a propensity of 0 was never served"):
            estimators.ips([1.0], [wrong], ["a"])
    with pytest.raises(ValueError, match="4 predictions of the policy for 5 rows"):
        estimators.doubly_robust(REWARDS, WEIGHTS, USERS, PREDICTED, OF_POLICY[:4])


def test_a_model_of_rewards_never_sees_the_users_it_predicts() -> None:
    groups, users = np.array([0, 0, 1, 1]), np.array(["a", "b", "a", "b"])
    means, half = estimators.cross_fitted(groups, np.array([1.0, 0.0, 0.0, 1.0]), users, 3, prior=1.0)
    assert half.tolist() == [0, 1, 0, 1]
    # For a: b's rows, 0 in group 0 and 1 in group 1, beside one row of their mean.
    assert means[0] == pytest.approx([0.25, 0.75, 0.5]) and means[1] == pytest.approx([0.75, 0.25, 0.5])


def test_what_is_lacking_is_told() -> None:
    # 1.96 x sqrt(0.9 / (0.1 x 3450)) is about 10%: four times as many make it 5%.
    assert estimators.relative_error(0.1, 3450) == pytest.approx(0.1, rel=0.002)
    assert estimators.more_needed(0.1, 3450, 1000, 0.05) == pytest.approx(3009, abs=10)
    assert estimators.more_needed(0.1, 3450, 1000, 0.2) == 0
    assert estimators.more_needed(0.0, 3450, 1000, 0.05) is None
    assert estimators.more_needed(0.1, 0.0, 1000, 0.05) is None
    assert estimators.more_needed(math.nan, 10.0, 1000, 0.05) is None


def test_vowpal_wabbit_agrees() -> None:
    from vowpalwabbit import Workspace

    rng = np.random.default_rng(4)
    served, policy = rng.integers(1, 5, 400), rng.integers(1, 5, 400)
    propensity, rewards = rng.uniform(0.1, 0.9, 400), rng.integers(0, 2, 400)

    def evaluated(costs: np.ndarray) -> float:
        """The mean cost of `policy`, whose actions stand first on each line."""
        vw = Workspace("--cb 4 --cb_type ips --eval --quiet")
        for line in zip(policy, served, costs, propensity, strict=True):
            vw.learn("{} {}:{}:{} | a".format(*line))
        return float(vw.get_sum_loss()) / 400

    weights = (served == policy) / propensity
    users = np.arange(400)
    of_rewards, of_weights = evaluated(rewards), evaluated(np.ones(400, int))
    assert estimators.ips(rewards, weights, users).value == pytest.approx(of_rewards, rel=1e-6)
    assert estimators.snips(rewards, weights, users).value == pytest.approx(of_rewards / of_weights, rel=1e-6)
    # Of a model that knows nothing, the doubly robust estimate is SNIPS.
    nothing = np.zeros(400)
    known = estimators.doubly_robust(rewards, weights, users, nothing, nothing).value
    assert known == pytest.approx(of_rewards / of_weights, rel=1e-6)
