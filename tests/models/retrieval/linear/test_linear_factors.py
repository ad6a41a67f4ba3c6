from typing import Any

import numpy as np

from homefeed.models.evaluation import baselines
from homefeed.models.retrieval.linear import linear_factors
from tests.models.retrieval import toy


def test_at_full_rank_it_is_ease() -> None:
    train = toy.sequences(num_users=9, num_targets=2)
    users = baselines.user_item_matrix(train, 8).toarray().astype(float)
    _, singular_values, items = np.linalg.svd(users, full_matrices=False)
    factors = linear_factors.Decomposition(singular_values, items.T).factors(0.5, long_term=0.1)
    ours = factors.encode @ factors.decode.T
    ease = baselines.ease_weights(baselines.user_item_matrix(train, 8), 0.5)
    off_diagonal = ~np.eye(8, dtype=bool)
    np.testing.assert_allclose(ours[off_diagonal], ease[off_diagonal], atol=1e-5)


def test_the_decomposition_is_the_leading_part() -> None:
    train = toy.sequences(num_users=9, num_targets=2)
    users = baselines.user_item_matrix(train, 8).toarray()
    found = linear_factors.decompose(train, 8, rank=3, seed=0)
    expected = np.linalg.svd(users)[1][:3]
    np.testing.assert_allclose(np.sort(found.singular_values)[::-1], expected, atol=1e-5)
    np.testing.assert_allclose(found.items[[0, toy.NEW_ITEM]], 0, atol=1e-12)


def test_scores_weigh_recent_events_most() -> None:
    factors = linear_factors.LinearFactors(
        np.array([[0, 0], [1, 0], [0, 1]], np.float32), np.array([[0, 0], [2, 0], [0, 3]], np.float32), 0.1
    )
    scores = factors.scores([np.array([2, 1]), np.array([], int)])
    # The newest event weighs 1 + 0.1, the one before e^-0.1 + 0.1.
    np.testing.assert_allclose(scores, [[0, 2 * 1.1, 3 * (np.exp(-0.1) + 0.1)], [0, 0, 0]], rtol=1e-5)
    np.testing.assert_allclose(factors.scaled(2).scores([np.array([1])]), [[0, 4.4, 0]], rtol=1e-5)


def test_too_little_data_is_a_silent_model() -> None:
    found = linear_factors.decompose(toy.sequences(num_users=1, num_targets=1), 8, rank=4, seed=0)
    assert not found.factors(1.0, 0.1).scores([np.array([1, 2])]).any()


def test_new_items_get_the_factors_that_their_content_makes_one_expect() -> None:
    content = np.array([[0], [1], [1], [-1], [-1], [1]], np.float32)
    factors = linear_factors.LinearFactors(10 * content, 20 * content, 0.1)
    is_new = np.array([True, False, False, False, False, True])
    expected = factors.for_new_items(factors.content_maps(content, is_new), content, is_new)
    # Four known items, gram 4, ridge 1: the slope 10 becomes 10 * 4 / 5.
    np.testing.assert_allclose(expected.encode[:, 0], [0, 10, 10, -10, -10, 8], atol=1e-5)
    np.testing.assert_allclose(expected.decode[:, 0], [0, 20, 20, -20, -20, 16], atol=1e-5)


def test_factors_in_numpy() -> None:
    """EASE of a truncated decomposition: S² / (S² + λ), and a division by what is left on the diagonal."""
    values, items = np.array([3.0, 1.0]), np.array([[0, 0], [0.6, 0.0], [0.8, 0.0], [0.0, 1.0]])
    factors = linear_factors.Decomposition(values, items).factors(2.0, long_term=0.3)
    gains = np.array([9 / 11, 1 / 3])
    diagonal = 1 - (items**2 * gains).sum(axis=1)
    np.testing.assert_allclose(factors.encode, items * gains, rtol=1e-6)
    np.testing.assert_allclose(factors.decode, items / diagonal[:, None], rtol=1e-6)
    assert factors.long_term == 0.3


def test_recency_weights() -> None:
    # Oldest first: 1 for the newest, 1/e ten events before it, and the long-term weight for each.
    found = linear_factors.recency_weights(11, 0.25)
    np.testing.assert_allclose(found[[-1, 0]], [1.25, np.exp(-1) + 0.25], rtol=1e-6)
    assert (np.diff(found) > 0).all() and linear_factors.recency_weights(0, 0.1).shape == (0,)


def test_content_maps_are_a_ridge_regression_with_a_constant() -> None:
    rng = np.random.default_rng(0)
    content = rng.normal(size=(9, 2)).astype(np.float32)
    encode, decode = (rng.normal(size=(9, 3)).astype(np.float32) for _ in range(2))
    is_new = np.arange(9) >= 7
    maps = linear_factors.LinearFactors(encode, decode, 0.1).content_maps(content, is_new)
    design = np.concatenate([content, np.ones((9, 1))], axis=1)[1:7]  # Row 0 is nothing, the last two are new.
    for kernel, table in ((maps.encode, encode), (maps.decode, decode)):
        np.testing.assert_allclose(kernel, _ridge(design, table[1:7], linear_factors.CONTENT_RIDGE), rtol=1e-5)


def _ridge(design: Any, target: Any, ridge: Any) -> Any:
    """As least squares over the data and as many rows of the square root of the ridge."""
    size = design.shape[1]
    stacked = np.concatenate([design, np.sqrt(ridge) * np.eye(size)])
    return np.linalg.lstsq(stacked, np.concatenate([target, np.zeros((size, target.shape[1]))]), rcond=None)[0]


def test_queries_and_decode_give_the_scores() -> None:
    rng = np.random.default_rng(1)
    factors = linear_factors.LinearFactors(*rng.normal(size=(2, 6, 3)).astype(np.float32), 0.2)
    histories = [np.array([1, 5, 2]), np.array([3])]
    np.testing.assert_allclose(factors.queries(histories) @ factors.decode.T, factors.scores(histories), rtol=1e-5)


def test_a_seed_gives_the_same_decomposition() -> None:
    # Two genres span two dimensions: the third is nothing, and not noise.
    first, second = (linear_factors.decompose(toy.sequences(num_users=9), 8, rank=3, seed=5) for _ in range(2))
    # Both genres weigh the same, so that only the plane which the factors span is certain.
    np.testing.assert_allclose(first.items @ first.items.T, second.items @ second.items.T, atol=1e-12)
    np.testing.assert_allclose(first.singular_values, second.singular_values, atol=1e-12)
    assert np.count_nonzero(first.singular_values) == 2 and np.count_nonzero(first.items.any(axis=0)) == 2
