import itertools

import numpy as np
import pytest

from homefeed.models.evaluation.within_impressions import within_impressions


def one(scores: list[float], clicked: list[bool]) -> dict[str, float]:
    found = within_impressions(np.array(scores), np.array(clicked), np.array([0, len(scores)]))
    return {name: float(values[0]) for name, values in found.items()}


def test_several_clicks() -> None:
    # Ranks 1 and 4 of 5. Of 2 × 3 pairs, 3 + 1 are right.
    found = one([5, 4, 3, 2, 1], [True, False, False, True, False])
    assert found["auc"] == pytest.approx(4 / 6)
    assert found["mrr"] == pytest.approx((1 + 1 / 4) / 2)
    ideal = 1 + 1 / np.log2(3)
    assert found["ndcg@5"] == found["ndcg@10"] == pytest.approx((1 + 1 / np.log2(5)) / ideal)


def test_beyond_the_cut_nothing_counts() -> None:
    found = one([6, 5, 4, 3, 2, 1], [False] * 5 + [True])
    assert found["ndcg@5"] == 0 and found["ndcg@10"] == pytest.approx(1 / np.log2(7))


def test_ties_count_in_expectation() -> None:
    scores, clicked = [2.0, 1.0, 1.0, 1.0, 0.0], [False, True, True, False, True]
    every = [one([2, *(1 + place / 10 for place in order), 0], clicked) for order in itertools.permutations(range(3))]
    found = one(scores, clicked)
    assert found == pytest.approx({name: np.mean([each[name] for each in every]) for name in found})
