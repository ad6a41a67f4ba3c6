import numpy as np

from homefeed.models.evaluation import baselines
from homefeed.models.retrieval.linear import linear_factors
from tests.models.retrieval import toy


def test_at_full_rank_it_is_ease():
    train = toy.sequences(num_users=9, num_targets=2)
    users = baselines.user_item_matrix(train, 8).toarray().astype(float)
    _, singular_values, items = np.linalg.svd(users, full_matrices=False)
    factors = linear_factors.Decomposition(singular_values, items.T).factors(0.5, long_term=0.1)
    ours = factors.encode @ factors.decode.T
    ease = baselines.ease_weights(baselines.user_item_matrix(train, 8), 0.5)
    off_diagonal = ~np.eye(8, dtype=bool)
    np.testing.assert_allclose(ours[off_diagonal], ease[off_diagonal], atol=1e-5)


def test_the_decomposition_is_the_leading_part():
    train = toy.sequences(num_users=9, num_targets=2)
    users = baselines.user_item_matrix(train, 8).toarray()
    found = linear_factors.decompose(train, 8, rank=3, seed=0)
    expected = np.linalg.svd(users)[1][:3]
    np.testing.assert_allclose(np.sort(found.singular_values)[::-1], expected, atol=1e-5)
    np.testing.assert_allclose(found.items[[0, toy.NEW_ITEM]], 0, atol=1e-12)


def test_scores_weigh_recent_events_most():
    factors = linear_factors.LinearFactors(
        np.array([[0, 0], [1, 0], [0, 1]], np.float32), np.array([[0, 0], [2, 0], [0, 3]], np.float32), 0.1
    )
    scores = factors.scores([np.array([2, 1]), np.array([], int)])
    # The newest event weighs 1 + 0.1, the one before e^-0.1 + 0.1.
    np.testing.assert_allclose(scores, [[0, 2 * 1.1, 3 * (np.exp(-0.1) + 0.1)], [0, 0, 0]], rtol=1e-5)
    np.testing.assert_allclose(factors.scaled(2).scores([np.array([1])]), [[0, 4.4, 0]], rtol=1e-5)


def test_too_little_data_is_a_silent_model():
    found = linear_factors.decompose(toy.sequences(num_users=1, num_targets=1), 8, rank=4, seed=0)
    assert not found.factors(1.0, 0.1).scores([np.array([1, 2])]).any()


def test_new_items_get_the_factors_that_their_content_makes_one_expect():
    content = np.array([[0], [1], [1], [-1], [-1], [1]], np.float32)
    factors = linear_factors.LinearFactors(10 * content, 20 * content, 0.1)
    is_new = np.array([True, False, False, False, False, True])
    expected = factors.for_new_items(factors.content_maps(content, is_new), content, is_new)
    # Four known items, gram 4, ridge 1: the slope 10 becomes 10 * 4 / 5.
    np.testing.assert_allclose(expected.encode[:, 0], [0, 10, 10, -10, -10, 8], atol=1e-5)
    np.testing.assert_allclose(expected.decode[:, 0], [0, 20, 20, -20, -20, 16], atol=1e-5)
