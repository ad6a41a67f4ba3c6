import itertools

import numpy as np
import pytest

from homefeed.models.retrieval.linear import blend, linear_factors
from tests.models.retrieval import toy


def _queries(num_users: int):
    sequences = toy.sequences(num_users=num_users, num_targets=1, num_history=2, seed=4)
    items = sequences.item_index.reshape(-1, 3)
    return list(items[:, :2]), items[:, 2]


DECOMPOSITION = linear_factors.decompose(toy.sequences(num_users=30), 8, rank=4, seed=0)


def test_listens_to_the_linear_model_where_it_helps():
    histories, targets = _queries(10)
    chosen = blend.fit_blend(np.zeros((10, 8), np.float32), histories, targets, DECOMPOSITION)
    scores = chosen.scores(histories)
    assert (scores[np.arange(10), targets] > 0).all()


def test_is_silent_where_it_does_not_help():
    histories, targets = _queries(10)
    perfect = np.eye(8, dtype=np.float32)[targets]
    assert not blend.fit_blend(perfect, histories, targets, DECOMPOSITION).decode.any()


def test_is_silent_with_nothing_to_judge_by():
    chosen = blend.fit_blend(np.empty((0, 8), np.float32), [], np.empty(0, int), DECOMPOSITION)
    assert not chosen.decode.any()


def test_new_items_get_what_their_price_allows():
    histories, targets = _queries(10)
    scores = np.zeros((10, 8), np.float32)
    scores[np.arange(10), targets] = 1.1  # A boost above 1.1 puts the new item before every target.
    is_new = np.arange(8) == toy.NEW_ITEM
    assert blend.fit_cold_start_boost(scores, histories, targets, is_new, price=0.01) == 1.0
    assert blend.fit_cold_start_boost(scores, histories, targets, is_new, price=0.99) == max(blend.BOOSTS)
    assert blend.fit_cold_start_boost(scores, histories, targets, ~is_new & False, price=0.99) == 0.0


def test_new_items_that_score_too_high_are_held_back():
    histories, targets = _queries(10)
    scores = np.zeros((10, 8), np.float32)
    scores[np.arange(10), targets], scores[:, toy.NEW_ITEM] = 1.1, 3.0
    is_new = np.arange(8) == toy.NEW_ITEM
    assert blend.fit_cold_start_boost(scores, histories, targets, is_new, price=0.01) == -2.0


def test_the_choice_is_the_best_of_all_on_ndcg_100():
    """Every regularisation, long-term weight and weight tried again, ranks counted by hand."""
    rng = np.random.default_rng(0)
    histories, targets = _queries(10)
    towers = rng.normal(size=(10, 8)).astype(np.float32)

    def quality(scores):
        gains = []
        for row, target, history in zip(scores, targets, histories, strict=True):
            others = [i for i in range(1, 8) if i not in history]
            above = sum(row[i] > row[target] for i in others)
            tied = sum(row[i] == row[target] for i in others) - 1
            gains.append(np.mean([1 / np.log2(2 + above + place) for place in range(tied + 1)]))
        return np.mean(gains)

    best = quality(towers)
    for ridge, long_term, weight in itertools.product(blend.REGULARIZATIONS, blend.LONG_TERMS, blend.WEIGHTS):
        scores = DECOMPOSITION.factors(ridge, long_term).scores(histories)
        best = max(best, quality(towers + weight / scores.std() * scores))
    chosen = blend.fit_blend(towers, histories, targets, DECOMPOSITION)
    assert quality(towers + chosen.scores(histories)) == pytest.approx(best, abs=1e-6)
    assert best > quality(towers)


def test_the_price_is_a_share_of_the_best_quality():
    """Ten queries: with a boost of 0.5 the new item passes two targets, with 1.0 five more."""
    _, targets = _queries(10)
    scores = np.zeros((10, 8), np.float32)
    heights = np.array([0.4, 0.4, *[0.9] * 5, *[9.0] * 3])
    scores[np.arange(10), targets] = heights
    is_new = np.arange(8) == toy.NEW_ITEM
    none = [np.empty(0, int)] * 10
    lost = 1 - 1 / np.log2(3)  # Of a target that falls from the first place to the second.
    for price, expected in (
        (0.0, 0.25),
        (0.2 * lost * 0.99, 0.25),
        (0.2 * lost * 1.01, 0.75),
        (0.7 * lost * 1.01, 1.5),
    ):
        assert blend.fit_cold_start_boost(scores, none, targets, is_new, price) == expected


def test_row_0_is_no_cold_start_item():
    histories, targets = _queries(3)
    scores = np.zeros((3, 8), np.float32)
    assert blend.fit_cold_start_boost(scores, histories, targets, np.arange(8) == 0, price=0.5) == 0.0
    assert blend.fit_cold_start_boost(scores[:0], [], targets[:0], np.arange(8) == 7, price=0.5) == 0.0
