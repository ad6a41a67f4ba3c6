import numpy as np

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
