import math
from collections import Counter

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from homefeed.components.drift.distances import (
    KS_CRITICAL,
    KS_MEAN,
    design_effect,
    jensen_shannon,
    jensen_shannon_by_chance,
    kolmogorov_smirnov,
    ks_gap,
    share,
    unseen_mass,
)

PAIRS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=20)


@given(PAIRS)
def test_jensen_shannon_is_a_divergence(pairs: list[tuple[int, int]]) -> None:
    before, after = (np.array(column) + np.eye(1, len(pairs), dtype=int)[0] for column in zip(*pairs, strict=True))
    value = jensen_shannon(before, after)
    assert -1e-12 <= value <= 1
    assert value == pytest.approx(jensen_shannon(after, before))
    assert jensen_shannon(before, before * 3) == pytest.approx(0)
    # SciPy's distance is the square root of the divergence.
    assert value == pytest.approx(scipy.spatial.distance.jensenshannon(before, after, base=2) ** 2, abs=1e-9)


def test_jensen_shannon_by_hand() -> None:
    # Shares 3/4, 1/4 against 1/4, 3/4 and 1/2, 1/2 between: 3/4·log2(3/2) + 1/4·log2(1/2) = 0.1887 on either side.
    assert jensen_shannon(np.array([3, 1]), np.array([1, 3])) == pytest.approx(0.75 * math.log2(1.5) - 0.25)
    assert jensen_shannon(np.array([1, 0]), np.array([0, 9])) == 1


def test_chance_is_what_two_parts_of_one_population_show() -> None:
    rng = np.random.default_rng(1)
    population = np.full(500, 1 / 500)
    samples = rng.multinomial(4000, population, size=40)
    seen = [jensen_shannon(*pair) for pair in samples.reshape(20, 2, 500)]
    mean, spread = jensen_shannon_by_chance(samples[0], samples[1])
    assert mean == pytest.approx(np.mean(seen), rel=0.1) and spread < mean / 5
    # To second order it is (values - 1) / 8 · (1/n + 1/m) / ln 2 = 0.0225.
    assert mean == pytest.approx(499 / 8 * (2 / 4000) / math.log(2), rel=0.15)
    assert jensen_shannon_by_chance(samples[0], samples[1]) == (mean, spread)  # The same draws every time.


def test_a_small_sample_differs_more_by_chance() -> None:
    large, small = np.full(100, 1000), np.full(100, 10)
    assert jensen_shannon_by_chance(large, small)[0] > 5 * jensen_shannon_by_chance(large, large)[0]


def test_kolmogorov_smirnov_by_hand() -> None:
    # Cumulative: {1: 0.5, 2: 1} against {1: 0.1, 2: 0.4, 3: 1}: widest at 2.
    assert kolmogorov_smirnov({1: 1, 2: 1}, {1: 1, 2: 3, 3: 6}) == (pytest.approx(0.6), 2)


VALUES = st.lists(st.integers(-5, 5), min_size=2, max_size=30)


@given(VALUES, VALUES)
def test_kolmogorov_smirnov_is_scipys(before: list[int], after: list[int]) -> None:
    value, _ = kolmogorov_smirnov(Counter(before), Counter(after))
    assert value == pytest.approx(scipy.stats.ks_2samp(before, after, method="asymp").statistic)


def test_the_constants_are_those_of_kolmogorovs_distribution() -> None:
    assert scipy.stats.kstwobign.mean() == pytest.approx(KS_MEAN, abs=5e-5)
    assert scipy.stats.kstwobign.isf(0.001) == pytest.approx(KS_CRITICAL, abs=5e-5)
    assert ks_gap(100, 400) == pytest.approx(math.sqrt(0.01 + 0.0025))


@pytest.mark.parametrize(("counts", "mass"), [({"a": 7, "b": 2, "c": 1}, 0.1), ({"a": 1}, 1.0), ({"a": 2}, 0.0)])
def test_what_was_seen_once_tells_what_was_not_seen(counts: dict[str, int], mass: float) -> None:
    assert unseen_mass(counts) == mass


def test_unseen_mass_is_right_on_average() -> None:
    rng = np.random.default_rng(0)
    population = rng.dirichlet(np.full(300, 0.3))
    gaps = []
    for _ in range(200):
        drawn = Counter(rng.choice(300, 150, p=population).tolist())
        missed = 1 - sum(population[value] for value in drawn)
        gaps.append(unseen_mass(drawn) - missed)
    assert abs(np.mean(gaps)) < 4 * np.std(gaps) / math.sqrt(200)


def test_a_share_is_as_sure_as_the_groups_agree() -> None:
    # Four groups of 25: shares 0.4, 0.2, 0.2, 0.4 around 0.3; residuals 2.5, -2.5, -2.5, 2.5.
    part, whole = np.array([10, 5, 5, 10]), np.full(4, 25)
    value, error = share(part, whole)
    # Their squares add up to 25; times 4/3 by 100², the root is 0.0577. The binomial error is 0.0458.
    assert (value, error) == (0.3, pytest.approx(math.sqrt(25 * 4 / 3) / 100))
    even = share(np.array([8, 7, 8, 7]), whole)
    assert even == (0.3, pytest.approx(math.sqrt(0.3 * 0.7 / 100)))


def test_a_share_of_one_group_has_the_binomials_error() -> None:
    assert share(np.array([0, 3]), np.array([0, 10])) == (0.3, pytest.approx(math.sqrt(0.021)))
    # A share of nothing is not for certain nothing: half an event at least.
    assert share(np.array([0, 0]), np.array([50, 50])) == (0.0, pytest.approx(0.5 / 100))


def test_values_that_come_in_clusters_say_less() -> None:
    rng = np.random.default_rng(0)

    def sums(values: np.ndarray) -> np.ndarray:
        """[64, size] values of 64 groups."""
        return np.stack([np.full(64, values.shape[1]), values.sum(axis=1), (values**2).sum(axis=1)]).astype(float)

    independent = rng.normal(size=(64, 100))
    assert design_effect(sums(independent)) == pytest.approx(1, abs=0.5)
    copies = np.repeat(rng.normal(size=(64, 10)), 10, axis=1)  # Each value ten times: a tenth of the information.
    assert design_effect(sums(copies)) == pytest.approx(10, rel=0.4)
    assert design_effect(sums(np.zeros((64, 5)))) == 1
    one_group = np.zeros((3, 64))
    one_group[:, 0] = 10, 20, 60
    assert design_effect(one_group) == 1
