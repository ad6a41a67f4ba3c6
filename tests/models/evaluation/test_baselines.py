import dataclasses
from typing import Any

import numpy as np
import pytest

from homefeed.models.evaluation import baselines
from tests.models.retrieval import toy

ALL = [
    baselines.Popularity(),
    baselines.Ease(regularization=1.0),
]


@pytest.fixture
def train() -> Any:
    return toy.sequences(num_users=20)


@pytest.mark.parametrize("baseline", ALL, ids=lambda b: type(b).__name__)
def test_scores_every_row_for_any_history(baseline: Any, train: Any) -> None:
    histories = [np.array([1, 1, 2]), np.array([], np.int32), np.array([0, 7])]
    scores = baseline.fit(train, 8).scores(histories)
    assert scores.shape == (3, 8)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("baseline", ALL[1:], ids=lambda b: type(b).__name__)
def test_prefers_what_goes_with_the_history(baseline: Any, train: Any) -> None:
    scores = baseline.fit(train, 8).scores([np.array([1]), np.array([4, 5])])
    assert scores[0, [2, 3]].min() > scores[0, 4:7].max()
    assert scores[1, 6] > scores[1, 1:4].max()


def test_popularity_counts() -> None:
    train = dataclasses.replace(toy.sequences(num_users=2), item_index=np.array([1, 1, 3, 0, 1, 3], np.int32))
    assert baselines.Popularity().fit(train, 5).scores([np.array([2])])[0, 1:].tolist() == [3, 0, 2, 0]


def test_ease_solves_its_ridge_regression() -> None:
    users = baselines.history_matrix([np.array([1, 2]), np.array([2, 3]), np.array([2, 3])], 4)[:, 1:]
    weights = baselines.ease_weights(users, regularization=0.7)
    dense = users.toarray()
    # Each column is the ridge solution without the item itself: (AᵀA + λI) w = Aᵀx over the other columns.
    for item in range(3):
        others = [i for i in range(3) if i != item]
        a = dense[:, others]
        expected = np.linalg.solve(a.T @ a + 0.7 * np.eye(2), a.T @ dense[:, item])
        np.testing.assert_allclose(weights[others, item], expected, atol=1e-6)
    assert np.diag(weights).tolist() == [0, 0, 0]


def test_duplicates_in_a_history_count_once() -> None:
    matrix = baselines.history_matrix([np.array([3, 3, 0, 1])], 5)
    assert matrix.toarray().tolist() == [[0, 1, 0, 1, 0]]


def test_ease_scores_are_sums_over_the_history_and_0_for_what_was_never_seen(train: Any) -> None:
    model = baselines.Ease(regularization=2.0).fit(train, 8)
    weights = baselines.ease_weights(baselines.user_item_matrix(train, 8)[:, 1:7], 2.0)
    found = model.scores([np.array([1, 4, 4, 7])])[0]
    np.testing.assert_allclose(found[1:7], weights[0] + weights[3], rtol=1e-5)
    assert found[[0, 7]].tolist() == [0, 0]


def test_a_user_who_had_an_item_twice_counts_once() -> None:
    train = dataclasses.replace(toy.sequences(num_users=2), item_index=np.array([1, 1, 3, 0, 1, 3], np.int32))
    assert baselines.user_item_matrix(train, 4).toarray().tolist() == [[0, 1, 0, 1], [0, 1, 0, 1]]
