import numpy as np
import tensorflow as tf

from homefeed.models.catalogue import ALWAYS, NEVER
from homefeed.models.retrieval.index import exact_index


def test_finds_the_best_that_are_not_seen() -> None:
    index = exact_index.ExactIndex(np.array([[9, 9], [1, 0], [0, 1], [1, 1], [3, 0]], np.float32))
    scores, rows = index.search(
        tf.constant([[1.0, 0.0], [0.0, 2.0]]), tf.constant([[4, 4, 0], [0, 0, 0]]), tf.constant(2)
    )
    assert rows.numpy().tolist() == [[1, 3], [2, 3]]
    assert scores.numpy().tolist() == [[1, 1], [2, 2]]


def test_places_that_cannot_be_filled_are_marked() -> None:
    index = exact_index.ExactIndex(np.array([[0], [1], [2]], np.float32))
    scores, rows = index.search(tf.constant([[1.0]]), tf.constant([[2]]), tf.constant(99))
    assert rows.numpy().tolist() == [[1, 0]]
    assert scores.numpy()[0, 1] == np.finfo(np.float32).min


def test_k_of_zero_is_nothing() -> None:
    index = exact_index.ExactIndex(np.ones((3, 1), np.float32))
    scores, rows = index.search(tf.ones((2, 1)), tf.zeros((2, 0), tf.int32), tf.constant(0))
    assert scores.shape == rows.shape == (2, 0)


def test_scores_are_inner_products_with_every_row() -> None:
    table = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    queries = np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32)
    index = exact_index.ExactIndex(table)
    np.testing.assert_allclose(index.scores(tf.constant(queries)), queries @ table.T, rtol=1e-5)
    np.testing.assert_array_equal(index.embed(tf.constant([[4, 0], [1, 1]])), table[[[4, 0], [1, 1]]])


def test_an_item_is_available_from_its_second_on() -> None:
    times = tf.constant([5, 6, ALWAYS, NEVER], tf.int64)
    for now, expected in ((4, [False, False, True]), (5, [True, False, True]), (0, [True] * 3)):
        assert exact_index.is_available(times, tf.constant(now, tf.int64)).numpy().tolist() == [*expected, False]


def test_what_is_never_available_is_found_at_no_time() -> None:
    embeddings = np.array([[0], [9], [8], [7]], np.float32)
    times = np.array([ALWAYS, NEVER, ALWAYS, 5])
    index = exact_index.ExactIndex(embeddings, times)
    nothing, k = tf.zeros((1, 0), tf.int32), tf.constant(3)
    for now, expected in ((None, [2, 3, 0]), (0, [2, 3, 0]), (4, [2, 0, 0]), (2**62, [2, 3, 0])):
        asked = None if now is None else tf.constant([now], tf.int64)
        assert index.search(tf.ones((1, 1)), nothing, k, asked)[1].numpy().tolist() == [expected]


def test_excluded_rows_keep_their_place_and_lose_their_score() -> None:
    scores = tf.constant([[9.0, 1, 2, 3], [9.0, 1, 2, 3]])
    found = exact_index.exclude(scores, tf.constant([[2, 2], [0, 3]])).numpy()
    low = exact_index.EXCLUDED
    np.testing.assert_array_equal(found, np.float32([[low, 1, low, 3], [low, 1, 2, low]]))


def test_the_best_rows_without_row_0() -> None:
    scores, rows = exact_index.best_rows(tf.constant([[exact_index.EXCLUDED, 1.0, 7.0, 3.0]]), tf.constant(9))
    assert rows.numpy().tolist() == [[2, 3, 1]] and scores.numpy().tolist() == [[7, 3, 1]]
