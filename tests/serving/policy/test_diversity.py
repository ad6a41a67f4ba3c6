"""Variety beside its definitions, computed plainly, and the bound on what it costs."""

import itertools

import numpy as np
import pytest

from homefeed.serving.policy import diversity
from homefeed.serving.policy.diversity import Diversity, chances, diversify, expected_loss, intra_list_distance

FREE = 1e9  # A loss that bounds nothing, so that variety alone decides.


def vectors(count: int, seed: int = 0, width: int = 6) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, width))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def unbounded(method: str) -> Diversity:
    return Diversity(method=method).model_copy(update={"max_loss": FREE})


def test_mmr_takes_what_is_least_like_those_above_on_average() -> None:
    found = vectors(12)
    chosen = [0]
    while len(chosen) < 6:
        others = [place for place in range(12) if place not in chosen]
        chosen.append(min(others, key=lambda place: np.mean([found[place] @ found[c] for c in chosen])))
    assert diversify(found, None, 6, unbounded("mmr"))[:6] == chosen


def test_dpp_takes_what_adds_most_volume() -> None:
    found = vectors(12, seed=1, width=9)
    kernel = (1 + found @ found.T) / 2 + diversity.JITTER * np.eye(12)
    chosen = [0]
    while len(chosen) < 6:
        others = [place for place in range(12) if place not in chosen]
        chosen.append(max(others, key=lambda p: np.linalg.det(kernel[np.ix_([*chosen, p], [*chosen, p])])))
    assert diversify(found, None, 6, unbounded("dpp"))[:6] == chosen


@pytest.mark.parametrize("method", ["mmr", "dpp"])
@pytest.mark.parametrize("max_loss", [0.0, 0.01, 0.02, 0.1, 0.5])
def test_no_list_loses_more_than_it_may(method: str, max_loss: float) -> None:
    losses = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        count, k = int(generator.integers(2, 60)), int(generator.integers(1, 25))
        scores = None if seed % 4 == 0 else -np.sort(generator.exponential(3, count))
        how = Diversity(method=method, max_loss=max_loss)
        order = diversify(vectors(count, seed), scores, k, how)
        assert sorted(order) == list(range(count))
        shown = min(k, count)
        assert [*order[shown:]] == sorted(order[shown:])
        losses.append(expected_loss(order, chances(count, scores)) if shown >= min(count, diversity.DEPTH) else 0.0)
    assert max(losses) <= max_loss + 1e-9
    assert max(losses) > max_loss / 2  # The bound is used.


def test_behind_the_tenth_card_stands_one_of_the_ten_best_that_are_left() -> None:
    unlike = np.concatenate([np.tile([1.0, 0.0], (30, 1)), np.tile([0.0, 1.0], (10, 1))])
    order = diversify(unlike, np.linspace(0, -12, 40), 20, Diversity(max_loss=0.0))
    assert max(order[:20]) < 30 and order[:10] == list(range(10))
    # With more reach, the first that is unlike is near enough: four of the others bring it within the twenty best.
    order = diversify(unlike, np.linspace(0, -12, 40), 20, Diversity(max_loss=0.0, reach=20))
    assert sum(place >= 30 for place in order[:20]) == 9 and order[:10] == list(range(10))


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_what_is_outside_of_interests_moves_up_within_the_bound(method: str) -> None:
    alike, scores = np.tile([1.0, 0.0], (12, 1)), np.linspace(0, -1, 12)
    unexpected = [0.0] * 8 + [1.0] * 4
    for max_loss in (0.0, 0.01, 0.1):
        how = Diversity(method=method, max_loss=max_loss, serendipity=5.0)
        order = diversify(alike, scores, 10, how, unexpected)
        mean_place = np.mean([order.index(place) for place in range(8, 12)])
        assert expected_loss(order, chances(12, scores)) <= max_loss + 1e-9
        assert (mean_place == 9.5) == (max_loss == 0.0), (max_loss, order)
        assert diversify(alike, scores, 10, how.model_copy(update={"serendipity": 0.0}), unexpected) == [*range(12)]


def test_the_loss_of_every_order_is_what_ndcg_says_in_expectation() -> None:
    chance = chances(4, [1.0, 0.5, 0.2, -1.0])
    for order in itertools.permutations(range(4)):
        dcg = sum(chance[place] / np.log2(2 + at) for at, place in enumerate(order))
        best = sum(chance[place] / np.log2(2 + place) for place in range(4))
        assert expected_loss(order, chance) == pytest.approx(1 - dcg / best)


def test_chances_follow_scores_and_a_tenth_places() -> None:
    # Softmax of 0 and -log 3: 3/4 and 1/4. Places: 1 and 1/√2, over 1 + 1/√2.
    by_place = np.array([1, 2**-0.5]) / (1 + 2**-0.5)
    assert chances(2, [0.0, -np.log(3)]) == pytest.approx(0.9 * np.array([0.75, 0.25]) + 0.1 * by_place)
    assert chances(2) == pytest.approx(by_place)


def test_a_list_has_more_distance_afterwards() -> None:
    gained = []
    for seed in range(20):
        found = vectors(60, seed, width=16)
        order = diversify(found, None, 20, Diversity())
        gained.append(intra_list_distance(found[order[:20]]) / intra_list_distance(found[:20]))
    assert np.mean(gained) > 1.02 and min(gained) > 0.99


def test_distance_is_the_mean_over_pairs() -> None:
    found = vectors(7)
    pairs = [1 - found[a] @ found[b] for a, b in itertools.combinations(range(7), 2)]
    assert intra_list_distance(found) == pytest.approx(np.mean(pairs))


def test_beyond_the_pool_nothing_moves() -> None:
    order = diversify(vectors(40), None, 8, Diversity(pool=10, max_loss=1.0))
    assert set(order[:8]) <= set(range(10)) and order[10:] == list(range(10, 40))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_lists_stay_whole(count: int) -> None:
    assert sorted(diversify(vectors(count), None, 12, Diversity())) == list(range(count))
