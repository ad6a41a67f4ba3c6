import dataclasses
from typing import Any

import numpy as np
import pytest

from benchmarks import _baselines
from benchmarks.retrieval import top_rows
from homefeed.models.evaluation import baselines
from tests.models.retrieval import toy


@pytest.fixture
def train() -> Any:
    return toy.sequences(num_users=20)


@pytest.mark.parametrize(
    "baseline", [_baselines.ItemKNN(), _baselines.ImplicitALS(num_factors=2, regularization=0.1)]
)
def test_prefers_what_goes_with_the_history_and_scores_every_row(baseline: Any, train: Any) -> None:
    scores = baseline.fit(train, 8).scores([np.array([1]), np.array([4, 5]), np.array([], np.int32)])
    assert scores.shape == (3, 8) and scores.dtype == np.float32 and np.isfinite(scores).all()
    assert scores[0, [2, 3]].min() > scores[0, 4:7].max()
    assert scores[1, 6] > scores[1, 1:4].max()


def test_item_knn_similarity_is_a_shrunk_cosine() -> None:
    train = dataclasses.replace(toy.sequences(num_users=2), item_index=np.array([1, 2, 2, 2, 3, 3], np.int32))
    scores = _baselines.ItemKNN(num_neighbours=5, shrinkage=3.0).fit(train, 4).scores([np.array([1])])
    # Items 1 and 2 share one user; they have 1 and 2 users.
    assert scores[0, 2] == pytest.approx(1 / (np.sqrt(2) + 3))
    assert scores[0, 3] == 0


def test_item_knn_keeps_the_nearest() -> None:
    train = dataclasses.replace(toy.sequences(num_users=2), item_index=np.array([1, 2, 3, 1, 2, 4], np.int32))
    scores = _baselines.ItemKNN(num_neighbours=1, shrinkage=0.0).fit(train, 5).scores([np.array([1])])
    assert np.flatnonzero(scores[0]).tolist() == [2]


def test_als_finds_the_least_squares_of_its_confidences() -> None:
    train = dataclasses.replace(toy.sequences(num_users=1), item_index=np.array([1, 1, 1], np.int32))
    als = _baselines.ImplicitALS(num_factors=1, confidence=3.0, regularization=2.0, num_iterations=100).fit(train, 2)
    # min (1 + c) (1 - xy)² + λ (x² + y²): x = y, and xy = 1 - λ / (1 + c) = 1 - 2 / 4.
    assert als.scores([np.array([1])])[0, 1] == pytest.approx(0.5, abs=1e-4)


def test_als_alternates_between_two_weighted_ridge_regressions(train: Any) -> None:
    model = _baselines.ImplicitALS(num_factors=3, confidence=4.0, regularization=0.7, num_iterations=3, seed=1)
    model.fit(train, 8)
    users = baselines.user_item_matrix(train, 8).toarray()
    items = np.random.default_rng(1).normal(0, 0.1, (8, 3))

    def solved(interactions: Any, factors: Any) -> Any:
        """Hu, Koren and Volinsky 2008, equation 4: a preference of 1 or 0 with confidence 1 + 4 or 1."""
        found = np.zeros((len(interactions), 3))
        for row, had in enumerate(interactions):
            if had.any():
                weights = np.diag(1 + 4.0 * had)
                system = factors.T @ weights @ factors + 0.7 * np.eye(3)
                found[row] = np.linalg.solve(system, factors.T @ weights @ had)
        return found

    for _ in range(3):
        items = solved(users.T, solved(users, items))
    np.testing.assert_allclose(model._items, items, rtol=1e-3, atol=1e-5)
    history = baselines.history_matrix([np.array([1, 2])], 8).toarray()
    np.testing.assert_allclose(
        model.scores([np.array([1, 2])]), solved(history, items) @ items.T, rtol=1e-3, atol=1e-4
    )


def test_item_knn_adds_up_the_similarities_of_the_history(train: Any) -> None:
    model = _baselines.ItemKNN(num_neighbours=9, shrinkage=1.0).fit(train, 8)
    one, other, both = model.scores([np.array([1]), np.array([2]), np.array([1, 2, 2])])
    np.testing.assert_allclose(both, one + other, rtol=1e-5)
    assert one[1] == 0 and one[2] == other[1] > 0


def test_the_best_candidates_without_what_was_had() -> None:
    scores = np.array([[9.0, 1, 5, 3, np.nan], [9.0, 2, 2, 8, 1]])
    lists = top_rows(scores, [np.array([2]), np.array([3, 1, 4])], 3)
    assert lists.tolist() == [[3, 1, 4], [2, 0, 0]]
    endless = np.array([[0.0, np.inf, 1.0, -np.inf, np.nan]])
    assert top_rows(endless, [np.empty(0, int)], 4)[0, :2].tolist() == [1, 2]
