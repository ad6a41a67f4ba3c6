"""What is left to chance in a row: probabilities in closed form, and draws from them."""

import itertools

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from homefeed.serving.policy.diversity import chances
from homefeed.serving.policy.exploration import Exploration, Lottery, draw

SCORES = np.array([1.2, 0.9, 0.4, 0.0, -0.5, -1.0])
DEVIATIONS = np.array([0.3, 0.8, 0.5, 1.2, 0.2, 0.9])


def test_draws_have_the_probabilities_that_are_given() -> None:
    found = [draw(np.array([0.5, 0.0, 1.5]), chance) for chance in (0.0, 0.2, 0.25, 0.7, 0.999)]
    assert found == [0, 0, 2, 2, 2]


def lottery(method: str, new: tuple[int, ...] = (), known: bool = True, **more: float) -> Lottery:
    how = Exploration.model_validate({"method": method, "temperature": 1.0, "epsilon": 0.0, **more})
    return Lottery(how, 6, SCORES, DEVIATIONS if known else None, new, 4)


def left(*places: int, count: int = 6) -> np.ndarray:
    found = np.zeros(count, bool)
    found[list(places)] = True
    return found


def is_greatest(place: int, others: list[int]) -> float:
    """P(a normal is above the others), by another integration."""

    def density(x: float) -> float:
        below = [scipy.stats.norm.cdf(x, SCORES[one], DEVIATIONS[one]) for one in others if one != place]
        return float(scipy.stats.norm.pdf(x, SCORES[place], DEVIATIONS[place]) * np.prod(below))

    return scipy.integrate.quad(density, -12, 12, epsabs=1e-10, limit=200)[0]


@pytest.mark.parametrize("places", [[0, 1, 2, 3, 4, 5], [1, 2, 4, 5], [2, 3, 4], [3, 5], [4]])
def test_thompson_is_the_probability_of_being_the_greatest(places: list[int]) -> None:
    found = lottery("thompson").probabilities(left(*places))
    expected = [is_greatest(place, places) for place in places]
    assert found[places] == pytest.approx(expected, abs=1e-6) and found.sum() == pytest.approx(1, abs=1e-12)


def test_the_integral_covers_what_deviates_little_and_much() -> None:
    how = Exploration(method="thompson", temperature=1.0, epsilon=0.0)
    for deviations in ([0.0, 0.0, 0.0], [1e-6, 5.0, 1e-6], [30.0, 0.1, 0.1], [10.0, 10.0, 10.0]):
        for places in itertools.chain.from_iterable(itertools.combinations(range(3), n) for n in (1, 2, 3)):
            chance = Lottery(how, 3, [0.5, 0.0, -0.5], deviations, (), 2).probabilities(left(*places, count=3))
            assert np.isfinite(chance).all() and chance.sum() == pytest.approx(1) and (chance >= 0).all()
    assert Lottery(how, 3, [0.5, 0.0, -0.5], [0.0] * 3, (), 2).probabilities(left(1, 2, count=3))[1] > 0.99


def test_what_rules_leave_far_below_is_still_decided() -> None:
    scores, deviations = np.append(np.full(20, 9.0), SCORES), np.append(np.full(20, 0.1), DEVIATIONS)
    found = Lottery(Exploration(temperature=1.0, epsilon=0.0), 26, scores, deviations, (), 4)
    assert found.probabilities(np.ones(26, bool))[:20] == pytest.approx(1 / 20)
    assert found.probabilities(left(*range(20, 26), count=26))[20:] == pytest.approx(
        lottery("thompson").probabilities(left(*range(6))), abs=1e-6
    )


def test_temperature_is_the_strength_of_the_noise() -> None:
    everything = left(*range(6))
    for method in ("thompson", "plackett_luce"):
        first = [lottery(method, temperature=t).probabilities(everything)[0] for t in (0.05, 0.5, 1.0, 5.0)]
        assert first == sorted(first, reverse=True) and first[0] > 0.98 and first[-1] < 0.3


def test_plackett_luce_is_gumbel_noise_on_the_logarithms_of_chances() -> None:
    logs = np.log(chances(6, SCORES)) / 0.5
    noisy = logs + np.random.default_rng(0).gumbel(size=(200_000, 6))
    noisy[:, 1] = -np.inf
    counts = np.bincount(noisy.argmax(axis=1), minlength=6)
    expected = lottery("plackett_luce", temperature=0.5).probabilities(left(0, 2, 3, 4, 5))
    assert expected[1] == 0 and counts[1] == 0
    assert scipy.stats.chisquare(np.delete(counts, 1), np.delete(expected, 1) * 200_000).pvalue > 0.001


def test_epsilon_is_for_new_and_uncertain_items() -> None:
    # New: 2, and 7, which is not in the list. Uncertain: 3 and 5.
    found = lottery("greedy", new=(2, 7), epsilon=0.4, fresh=2).probabilities(left(0, 1, 2, 3, 5, 7, count=8))
    assert found == pytest.approx([0.6, 0, 0.1, 0.1, 0, 0.1, 0, 0.1])
    assert lottery("greedy", new=(2,), epsilon=0.4, fresh=2).probabilities(left(0, 1)) == pytest.approx(
        [1, 0, 0, 0, 0, 0]
    )
    nothing_known = lottery("greedy", known=False, epsilon=0.4).probabilities(left(0, 4))
    assert nothing_known == pytest.approx([0.8, 0, 0, 0, 0.2, 0])
    only_new = lottery("greedy", new=(6, 7)).probabilities(left(6, 7, count=8))
    assert only_new == pytest.approx([0, 0, 0, 0, 0, 0, 0.5, 0.5])


def test_no_candidate_is_below_the_floor() -> None:
    found = lottery("thompson", temperature=0.01, floor=0.01).probabilities(left(0, 1, 4, 5))
    assert found[[0, 1, 4, 5]].min() == pytest.approx(0.01) and found[[2, 3]].sum() == 0


@pytest.mark.parametrize("method", ["greedy", "plackett_luce", "thompson"])
def test_probabilities_add_up_whatever_is_left(method: str) -> None:
    some = np.random.default_rng(0)
    for _ in range(300):
        size, more = int(some.integers(1, 60)), int(some.integers(0, 8))
        how = Exploration(
            method=method, temperature=some.choice([0.1, 1, 10]), epsilon=some.random(), floor=some.choice([0, 0.01])
        )
        scores = -np.sort(some.exponential(3, size)) if some.random() < 0.8 else None
        deviations = some.exponential(1, size) if some.random() < 0.8 else None
        new = [*some.choice(size, min(size, 2), replace=False), *range(size, size + more)]
        made = Lottery(how, size, scores, deviations, new, 12)
        remaining = np.ones(made.count, bool)
        for _ in range(min(12, made.count)):
            found = made.probabilities(remaining)
            assert abs(found.sum() - 1) < 1e-9 and (found >= 0).all() and not found[~remaining].any()
            assert not how.floor or found[remaining].min() >= min(0.01, 1 / remaining.sum()) * (1 - 1e-9)
            chosen = draw(found, some.random())
            assert found[chosen] > 0
            remaining[chosen] = False
