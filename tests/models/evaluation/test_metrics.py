import doctest
from typing import Any

import numpy as np
import pytest
import scipy.stats

from homefeed.models.evaluation import metrics
from homefeed.models.evaluation.metrics import Ranks


def _one(above: int, tied: int) -> Ranks:
    return Ranks(np.array([above]), np.array([tied]))


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(metrics).failed == 0


def test_seen_items_and_row_0_are_no_candidates() -> None:
    scores = np.array([[9.0, 8.0, 7.0, 6.0, 5.0], [9.0, 1.0, 2.0, 3.0, 4.0]])
    ranks = metrics.rank_targets(scores, np.array([3, 1]), [np.array([1, 1, 0]), np.array([], int)])
    # First query: row 2 alone is above. Second: rows 2, 3, 4.
    assert ranks.above.tolist() == [1, 3]
    assert ranks.tied.tolist() == [0, 0]


@pytest.mark.parametrize("target", [0, 2], ids=["unknown item", "already had"])
def test_what_cannot_be_retrieved_is_a_miss(target: Any) -> None:
    ranks = metrics.rank_targets(np.array([[0.0, 1.0, 2.0]]), np.array([target]), [np.array([2])])
    assert metrics.hit_rate(ranks, 2).tolist() == [0.0]
    assert metrics.ndcg(ranks, 2).tolist() == [0.0]


def test_nan_is_as_bad_as_can_be() -> None:
    scores = np.array([[0.0, np.nan, -1e30]])
    assert metrics.rank_targets(scores, np.array([1]), [np.array([0])]).above.tolist() == [1]


def test_ties_count_in_expectation() -> None:
    ranks = _one(above=8, tied=3)  # Rank 9, 10, 11 or 12.
    assert metrics.hit_rate(ranks, 10) == pytest.approx(2 / 4)
    assert metrics.mrr(ranks, 10) == pytest.approx((1 / 9 + 1 / 10) / 4)
    assert metrics.ndcg(ranks, 10) == pytest.approx((1 / np.log2(10) + 1 / np.log2(11)) / 4)


def test_all_equal_scores_give_the_chance_of_a_random_order() -> None:
    num_items = 40
    ranks = metrics.rank_targets(np.zeros((1, num_items + 1)), np.array([7]), [np.array([], int)])
    assert metrics.hit_rate(ranks, 10) == pytest.approx(10 / num_items)


def test_expectation_agrees_with_many_random_orders() -> None:
    generator = np.random.default_rng(5)
    scores = np.array([0, 3, 2, 2, 2, 1, 2])  # Row 0 is no candidate; row 3 is the target.
    expected = metrics.rank_targets(scores[None].astype(float), np.array([3]), [np.array([], int)])
    found = []
    for _ in range(4000):
        jitter = scores + generator.uniform(0, 0.5, len(scores))
        found.append(metrics.ndcg(metrics.rank_targets(jitter[None], np.array([3]), [np.array([], int)]), 3))
    assert metrics.ndcg(expected, 3) == pytest.approx(np.mean(found), abs=0.02)


def test_a_mask_selects_queries() -> None:
    ranks = Ranks(np.array([0, 5, 9]), np.array([0, 1, 2]))[np.array([False, True, True])]
    assert ranks.above.tolist() == [5, 9]
    assert ranks.tied.tolist() == [1, 2]


def test_summary_of_nothing_is_not_a_number() -> None:
    assert np.isnan(metrics.summarize(Ranks(np.array([], int), np.array([], int)))["ndcg@10"])


def test_bootstrap_interval_holds_the_mean_and_narrows_with_agreement() -> None:
    generator = np.random.default_rng(1)
    base = generator.random(300)
    difference, low, high = metrics.paired_bootstrap(base + 0.1, base, num_samples=200)
    assert [difference, low, high] == pytest.approx([0.1, 0.1, 0.1])
    difference, low, high = metrics.paired_bootstrap(base, base[::-1], num_samples=200)
    assert low < difference < high


def test_bootstrap_interval_leaves_out_a_fortieth_on_each_side() -> None:
    # Of 100 differences half are 1: a resample's sum is binomial.
    ours, wins = np.arange(100) % 2.0, scipy.stats.binom(100, 0.5)
    _, low, high = metrics.paired_bootstrap(ours, np.zeros(100))
    assert [low, high] == pytest.approx([wins.ppf(0.025) / 100, wins.ppf(0.975) / 100])  # 0.40 and 0.60.


def test_figures_of_the_results_tables() -> None:
    ranks = Ranks(np.array([0, 4, 50]), np.array([0, 1, 0]))  # Ranks 1; 5 or 6; 51.
    found = metrics.summarize(ranks)
    assert found["hr@10"] == pytest.approx(2 / 3) and found["recall@100"] == 1.0
    assert found["mrr@10"] == pytest.approx((1 + (1 / 5 + 1 / 6) / 2) / 3)
    assert found["ndcg@10"] == pytest.approx((1 + (1 / np.log2(6) + 1 / np.log2(7)) / 2) / 3)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_expected_gains_in_numpy(k: Any) -> None:
    rng = np.random.default_rng(k)
    ranks = Ranks(rng.integers(0, 12, 50), rng.integers(0, 5, 50))
    for metric, gain in ((metrics.ndcg, lambda rank: 1 / np.log2(1 + rank)), (metrics.mrr, lambda rank: 1 / rank)):
        expected = [
            np.mean([gain(rank) if rank <= k else 0 for rank in range(above + 1, above + tied + 2)])
            for above, tied in zip(ranks.above, ranks.tied, strict=True)
        ]
        np.testing.assert_allclose(metric(ranks, k), expected)


def test_bootstrap_is_of_the_mean_difference() -> None:
    ours, theirs = np.array([1.0, 0.0, 0.5, 0.25]), np.array([0.5, 0.0, 1.0, 0.0])
    difference, low, high = metrics.paired_bootstrap(ours, theirs, num_samples=4000, seed=3)
    assert difference == pytest.approx(0.0625)
    rng = np.random.default_rng(9)
    means = rng.choice(ours - theirs, (20_000, 4)).mean(axis=1)
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.07)


def test_infinite_scores_rank_as_they_should() -> None:
    scores = np.array([[0.0, np.inf, 1.0, -np.inf, np.nan]])
    nothing = [np.empty(0, int)]
    above = [int(metrics.rank_targets(scores, np.array([row]), nothing).above[0]) for row in (1, 2, 3, 4)]
    tied = [int(metrics.rank_targets(scores, np.array([row]), nothing).tied[0]) for row in (1, 2, 3, 4)]
    assert above == [0, 1, 2, 2] and tied == [0, 0, 1, 1]
