import dataclasses
from typing import Any

import numpy as np
import pytest

from homefeed.models.evaluation import baselines, metrics
from tests.models.retrieval import toy

ALL = [
    baselines.Popularity(),
    baselines.Content(toy.catalogue().token_ids),
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


@pytest.mark.parametrize("num_seconds", [0.0, 60.0])
def test_ease_is_tuned_on_queries_within_a_time(train: Any, num_seconds: float) -> None:
    rng = np.random.default_rng(0)
    train = dataclasses.replace(train, item_index=rng.integers(1, 8, len(train.item_index)).astype(np.int32))
    drawn = [rng.permutation(7) + 1 for _ in range(30)]
    histories, targets = [rows[:2] for rows in drawn], np.array([rows[2] for rows in drawn])

    def ndcg(model: baselines.Ease) -> float:
        return float(metrics.ndcg(metrics.rank_targets(model.scores(histories), targets, histories), 10).mean())

    tried = {x: ndcg(baselines.Ease(x).fit(train, 8)) for x in (1e9, 10.0, 0.1)}
    assert len(set(tried.values())) == 3 and max(tried, key=tried.__getitem__) != 1e9
    tuned = baselines.tuned_ease(train, 8, histories, targets, num_seconds, list(tried))
    if num_seconds:
        assert ndcg(tuned) == max(tried.values())
    else:
        assert tuned.regularization == 1e9, "no time but for the first"


def test_content_is_the_cosine_of_weighed_words_even_of_items_that_nobody_had(train: Any) -> None:
    tokens = np.array([[0, 0], [5, 6], [5, 7], [7, 0], [8, 5]], np.int32)
    model = baselines.Content(tokens).fit(dataclasses.replace(train, item_index=train.item_index * 0), 5)
    weight = {word: np.log1p(5 / count) for word, count in {5: 3, 6: 1, 7: 2, 8: 1}.items()}
    length = {row: np.sqrt(sum(weight[word] ** 2 for word in tokens[row] if word)) for row in range(1, 5)}
    scores = model.scores([np.array([2]), np.array([2, 3]), np.array([], np.int32)])
    third = weight[7] / length[2]
    shared = [weight[5] ** 2 / length[row] / length[2] for row in (1, 4)]
    np.testing.assert_allclose(scores[0, 1:], [shared[0], 1, third, shared[1]], rtol=1e-5)
    assert scores[1, 3] == pytest.approx(third + 1) and not scores[2].any() and not scores[:, 0].any()


def test_a_user_who_had_an_item_twice_counts_once() -> None:
    train = dataclasses.replace(toy.sequences(num_users=2), item_index=np.array([1, 1, 3, 0, 1, 3], np.int32))
    assert baselines.user_item_matrix(train, 4).toarray().tolist() == [[0, 1, 0, 1], [0, 1, 0, 1]]
