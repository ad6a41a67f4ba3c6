import numpy as np
import pytest

from homefeed.models.evaluation import beyond_accuracy

PAGES = np.array([[1, 2, 3], [1, 3, 0]])


def test_coverage_and_gini_by_hand() -> None:
    assert beyond_accuracy.coverage(PAGES, num_rows=7) == 0.5
    # Shown 2, 1, 2 and three times 0; sorted 0 0 0 1 2 2 with weights -5 -3 -1 1 3 5: (1 + 6 + 10) / (6 × 5).
    assert beyond_accuracy.gini(PAGES, num_rows=7) == pytest.approx(17 / 30)


def test_diversity_counts_pairs_without_a_common_category() -> None:
    categories = np.array([[0, 0], [2, 0], [2, 3], [3, 0]])
    # Page 1: 1-2 share 2, 2-3 share 3, 1-3 share nothing: 1/3. Page 2: 1-3 alone: 1.
    assert beyond_accuracy.diversity(PAGES, categories) == pytest.approx((1 / 3 + 1) / 2)


def test_novelty_is_the_surprise_of_what_is_shown() -> None:
    # Shares with add-one smoothing: 4/8, 2/8, 2/8.
    assert beyond_accuracy.novelty(PAGES, np.array([0, 3, 1, 1])) == pytest.approx((1 + 2 + 2 + 1 + 2) / 5)


def test_popularity_lift_leaves_out_who_has_no_history() -> None:
    counts = np.array([0, 6, 2, 1])
    lift = beyond_accuracy.popularity_lift(PAGES, [np.array([2]), np.array([], np.int64)], counts)
    assert lift == pytest.approx(3 / 2)


def test_reliability_leaves_out_what_was_not_predicted() -> None:
    found = beyond_accuracy.reliability(np.array([0.1, 0.9, np.nan, 1.0]), np.array([False, True, True, False]))
    assert found["events"] == 3
    assert found["brier"] == pytest.approx((0.01 + 0.01 + 1) / 3)
    # Bins: 0.1 against 0, one event; 0.95 against 0.5, two events.
    assert found["ece"] == pytest.approx((0.1 + 2 * 0.45) / 3)


def test_nothing_shown_and_nothing_predicted() -> None:
    nothing = np.zeros((0, 10), np.int64)
    counts = np.array([0, 3])
    assert beyond_accuracy.coverage(nothing, 2) == beyond_accuracy.novelty(nothing, counts) == 0
    assert beyond_accuracy.gini(nothing, 2) == beyond_accuracy.popularity_lift(nothing, [], counts) == 0
    assert beyond_accuracy.reliability(np.array([np.nan]), np.array([True]))["bins"] == []


def test_a_probability_of_one_is_in_the_last_bin() -> None:
    found = beyond_accuracy.reliability(np.array([0.0, 0.5, 1.0]), np.array([False, True, True]), num_bins=2)
    assert [bin_["events"] for bin_ in found["bins"]] == [1, 2]
    assert found["bins"][1] == {"events": 2, "predicted": 0.75, "happened": 1.0}
    assert found["ece"] == pytest.approx(2 / 3 * 0.25)


def test_all_alike_is_equal_and_one_alone_is_not() -> None:
    assert beyond_accuracy.gini(np.array([[1, 2, 3]]), 4) == pytest.approx(0)
    # One of four is always shown: (2 · 4 - 4 - 1) · 3 / (4 · 3).
    assert beyond_accuracy.gini(np.array([[2], [2], [2]]), 5) == pytest.approx(3 / 4)


def test_items_without_a_category_share_none() -> None:
    assert beyond_accuracy.diversity(np.array([[1, 2]]), np.zeros((3, 2), int)) == 1.0
    assert beyond_accuracy.diversity(np.array([[1, 0]]), np.ones((3, 1), int)) == 0.0


def test_lift_is_the_mean_of_each_readers_ratio() -> None:
    counts = np.array([0, 8, 2, 4])
    pages = np.array([[1, 2], [3, 3], [1, 0]])
    histories = [np.array([2]), np.array([1, 0]), np.array([0])]
    # (8 + 2) / 2 over 2, 4 over 8; the third reader has no history of items.
    assert beyond_accuracy.popularity_lift(pages, histories, counts) == pytest.approx((2.5 + 0.5) / 2)


def test_what_chance_alone_makes_of_the_mean_gap() -> None:
    rng = np.random.default_rng(0)
    for num_events in (100, 3_000):
        chances = rng.beta(2, 1, num_events)
        found = [beyond_accuracy.reliability(chances, rng.random(num_events) < chances) for _ in range(200)]
        mean = np.mean([one["ece"] for one in found])
        assert found[0]["ece_by_chance"] == pytest.approx(mean, rel=0.1)
