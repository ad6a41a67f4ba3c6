import numpy as np
import pytest

from homefeed.models.evaluation.resampling import UserBootstrap, critical, deviations, interval


def test_the_first_row_is_of_the_data_and_users_come_whole() -> None:
    bootstrap = UserBootstrap(np.array([5, 5, 2, 9]), num_samples=300)
    assert bootstrap.num_users == 3
    found = bootstrap.sums(np.array([[1.0, 10.0], [2.0, 10.0], [4.0, 10.0], [8.0, 10.0]]))
    assert found.shape == (301, 2) and found[0].tolist() == [15, 40]
    # Three users of 3, 4 and 8: no sample has one event of user 5 without the other.
    assert {*found[1:, 0]} <= {3 * a + 4 * b + 8 * (3 - a - b) for a in range(4) for b in range(4 - a)}
    assert found[1:, 0].mean() == pytest.approx(15, abs=0.6)


def test_means_are_of_the_masked_events() -> None:
    bootstrap = UserBootstrap(np.arange(4), num_samples=500)
    values, mask = (
        np.array([1.0, 2.0, 3.0, np.nan]),
        np.array([[True, False], [True, False], [True, True], [False] * 2]),
    )
    found = bootstrap.means(values, mask)
    assert found.shape == (501, 2) and found[0].tolist() == [2, 3]
    assert np.isnan(found[1:, 1]).mean() == pytest.approx(0.75**4, abs=0.07)  # Nobody of it was drawn.
    assert bootstrap.means(values, mask[:, 0]).tolist() == pytest.approx(found[:, 0].tolist(), nan_ok=True)


def test_an_interval_and_a_deviation_are_those_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    found = UserBootstrap(np.arange(400)).means(values, np.ones(400, bool))
    assert deviations(found[:, None])[0] == pytest.approx(2 / 20, rel=0.12)
    low, high = interval(found)
    assert high - low == pytest.approx(2 * 1.96 * 0.1, rel=0.15) and low < values.mean() < high


def test_no_users_give_no_samples() -> None:
    bootstrap = UserBootstrap(np.empty(0, np.int64))
    assert bootstrap.num_users == 0 and bootstrap.sums(np.empty((0, 2))).tolist() == [[0, 0]]


def test_bounds_of_many_figures_are_wrong_together_as_often_as_said() -> None:
    """Six groups and all others, of lopsided sizes, whose true mean is 0: 300 data sets, any bound below 0.

    Values are as those of NDCG@10: mostly nothing, and some users are easier than others.
    """
    rng = np.random.default_rng(2)
    sizes = np.array([40, 50, 60, 80, 100, 150])
    wrong, alone = 0, 0
    for seed in range(300):
        user = np.repeat(np.arange(sizes.sum()), 3)
        group = np.repeat(np.arange(len(sizes)), sizes)[user]
        easy = rng.beta(2, 4, sizes.sum())[user]  # 1/3 in the mean.
        values = (rng.random(len(user)) < easy) * rng.uniform(0.3, 1.0, len(user)) - 0.65 / 3
        masks = group[:, None] == np.arange(len(sizes))
        found = UserBootstrap(user, 200, seed).means(values, np.concatenate([masks, ~masks], axis=1))
        deviation = deviations(found)
        wrong += bool((found[0] + critical(found, 0.05) * deviation < 0).any())
        alone += bool((found[0] + 1.645 * deviation < 0).any())
    # 5% would be 15 of 300; 26 were measured: few users of skewed gains make bounds too tight.
    # Without correction it is far more.
    assert 4 <= wrong <= 27 and alone > 3 * wrong, (wrong, alone)


def test_a_figure_that_never_moves_needs_no_room() -> None:
    moving = np.random.default_rng(3).normal(size=(2001, 1))
    moving[0] = 0
    still = np.zeros((2001, 1))
    assert critical(still, 0.05) == 0
    assert critical(np.concatenate([moving, still], axis=1), 0.05) == pytest.approx(critical(moving, 0.05))
    assert critical(moving, 0.05) == pytest.approx(1.645, abs=0.12)
    # The same figure twice costs nothing; an independent one does: Φ(c)² = 0.95 at 1.95.
    assert critical(np.concatenate([moving, moving], axis=1), 0.05) == pytest.approx(critical(moving, 0.05))
    other = np.random.default_rng(4).normal(size=(2001, 1))
    other[0] = 0
    assert critical(np.concatenate([moving, other], axis=1), 0.05) == pytest.approx(1.95, abs=0.15)
