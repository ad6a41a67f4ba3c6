import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from homefeed.models.evaluation import metrics
from homefeed.models.retrieval.linear import blend, linear_factors
from tests.models.retrieval import toy


def _queries(num_users: int) -> Any:
    sequences = toy.sequences(num_users=num_users, num_targets=1, num_history=2, seed=4)
    items = sequences.item_index.reshape(-1, 3)
    return list(items[:, :2]), items[:, 2]


DECOMPOSITION = linear_factors.decompose(toy.sequences(num_users=30), 8, rank=4, seed=0)


def test_listens_to_the_linear_model_where_it_helps() -> None:
    histories, targets = _queries(10)
    chosen = blend.fit_blend(np.zeros((10, 8), np.float32).__getitem__, histories, targets, DECOMPOSITION)
    scores = chosen.scores(histories)
    assert (scores[np.arange(10), targets] > 0).all()


def test_is_silent_where_it_does_not_help() -> None:
    histories, targets = _queries(10)
    perfect = np.eye(8, dtype=np.float32)[targets]
    assert not blend.fit_blend(perfect.__getitem__, histories, targets, DECOMPOSITION).decode.any()


def test_is_silent_with_nothing_to_judge_by() -> None:
    chosen = blend.fit_blend(np.empty((0, 8), np.float32).__getitem__, [], np.empty(0, int), DECOMPOSITION)
    assert not chosen.decode.any()


def test_new_items_get_what_their_price_allows() -> None:
    histories, targets = _queries(10)
    scores = np.zeros((10, 8), np.float32)
    scores[np.arange(10), targets] = 1.1  # A boost above 1.1 puts the new item before every target.
    is_new = np.arange(8) == toy.NEW_ITEM
    assert blend.fit_cold_start_boost(scores.__getitem__, histories, targets, is_new, price=0.01) == 1.0
    assert blend.fit_cold_start_boost(scores.__getitem__, histories, targets, is_new, price=0.99) == max(blend.BOOSTS)
    assert blend.fit_cold_start_boost(scores.__getitem__, histories, targets, ~is_new & False, price=0.99) == 0.0


def test_new_items_that_score_too_high_are_held_back() -> None:
    histories, targets = _queries(10)
    scores = np.zeros((10, 8), np.float32)
    scores[np.arange(10), targets], scores[:, toy.NEW_ITEM] = 1.1, 3.0
    is_new = np.arange(8) == toy.NEW_ITEM
    assert blend.fit_cold_start_boost(scores.__getitem__, histories, targets, is_new, price=0.01) == -2.0


@pytest.mark.parametrize("seed", range(6))
def test_the_choice_is_the_best_of_all_on_ndcg_100(seed: int) -> None:
    """Every regularisation, long-term weight and weight tried again, ranks counted by hand."""
    rng = np.random.default_rng(seed)
    train = toy.sequences(num_users=12)
    train = dataclasses.replace(train, item_index=rng.integers(1, 8, 36).astype(np.int32))
    decomposition = linear_factors.decompose(train, 8, rank=5, seed=0)
    histories = [rng.choice(np.arange(1, 8), 3, replace=False) for _ in range(40)]
    targets = np.array([rng.choice([item for item in range(1, 8) if item not in had]) for had in histories])
    towers = (0.02 * rng.normal(size=(40, 8))).astype(np.float32)  # Of another scale than the linear scores.

    def quality(scores: Any) -> Any:
        gains = []
        for row, target, history in zip(scores, targets, histories, strict=True):
            others = [i for i in range(1, 8) if i not in history]
            above = sum(row[i] > row[target] for i in others)
            tied = sum(row[i] == row[target] for i in others) - 1
            gains.append(np.mean([1 / np.log2(2 + above + place) for place in range(tied + 1)]))
        return np.mean(gains)

    towers[np.arange(40), targets] += 0.02
    best = quality(towers)
    for ridge, long_term, weight in itertools.product(blend.REGULARIZATIONS, blend.LONG_TERMS, blend.WEIGHTS):
        scores = decomposition.factors(ridge, long_term).scores(histories)
        best = max(best, quality(towers + weight / scores.std() * scores))
    chosen = blend.fit_blend(towers.__getitem__, histories, targets, decomposition)
    assert quality(towers + chosen.scores(histories)) == pytest.approx(best, abs=1e-6)


def test_the_price_is_a_share_of_the_best_quality() -> None:
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
        assert blend.fit_cold_start_boost(scores.__getitem__, none, targets, is_new, price) == expected


def test_the_price_is_not_counted_in_ndcg_itself() -> None:
    """Each target stands behind three others: the best quality is 1 / log2(5), until the new item passes it too."""
    targets = np.full(10, 4)
    scores = np.tile(np.float32([0, 9, 9, 9, 0.4, 0, 0, 0]), (10, 1))
    is_new, none = np.arange(8) == toy.NEW_ITEM, [np.empty(0, int)] * 10
    before, after = 1 / np.log2(5), 1 / np.log2(6)
    lost = 1 - after / before
    for price, expected in ((lost * 0.98, 0.25), (lost * 1.02, 1.5)):
        assert blend.fit_cold_start_boost(scores.__getitem__, none, targets, is_new, price) == expected
    assert (before - after) < lost * 0.98, "as a difference it would be cheaper"


def test_row_0_is_no_cold_start_item() -> None:
    histories, targets = _queries(3)
    scores = np.zeros((3, 8), np.float32)
    assert blend.fit_cold_start_boost(scores.__getitem__, histories, targets, np.arange(8) == 0, price=0.5) == 0.0
    assert blend.fit_cold_start_boost(scores[:0].__getitem__, [], targets[:0], np.arange(8) == 7, price=0.5) == 0.0


def test_parts_are_judged_as_the_whole_is(monkeypatch: pytest.MonkeyPatch) -> None:
    histories, targets = _queries(12)
    rng = np.random.default_rng(0)
    towers = (0.02 * rng.normal(size=(12, 8))).astype(np.float32)
    is_new = np.arange(8) == toy.NEW_ITEM

    def fitted() -> tuple[Any, float]:
        linear = blend.fit_blend(towers.__getitem__, histories, targets, DECOMPOSITION)
        return linear, blend.fit_cold_start_boost(towers.__getitem__, histories, targets, is_new, price=0.05)

    whole, boost = fitted()
    monkeypatch.setattr(metrics, "MAX_SCORES", 11 * 8)
    parts, boost_of_parts = fitted()
    assert parts.long_term == whole.long_term and boost_of_parts == boost
    np.testing.assert_allclose(parts.decode, whole.decode, rtol=1e-6)


def test_scores_are_scaled_by_the_deviation_of_all_of_them() -> None:
    """With users of another kind first, as a split sorted by user may have them."""
    rng = np.random.default_rng(3)
    queries = rng.normal(2.0, [[0.1]] * 9 + [[5.0]] * 4, size=(13, 5)).astype(np.float32)
    decode = rng.normal(-1.0, 2.0, size=(40, 5)).astype(np.float32)
    assert blend.score_deviation(queries, decode) == pytest.approx((queries @ decode.T).std(), rel=1e-5)
    assert blend.score_deviation(queries, np.zeros_like(decode)) == 0.0
