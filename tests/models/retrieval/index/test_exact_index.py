import numpy as np
import tensorflow as tf

from homefeed.models.retrieval.index import exact_index


def test_finds_the_best_that_are_not_seen():
    index = exact_index.ExactIndex(np.array([[9, 9], [1, 0], [0, 1], [1, 1], [3, 0]], np.float32))
    scores, rows = index.search(
        tf.constant([[1.0, 0.0], [0.0, 2.0]]), tf.constant([[4, 4, 0], [0, 0, 0]]), tf.constant(2)
    )
    assert rows.numpy().tolist() == [[1, 3], [2, 3]]
    assert scores.numpy().tolist() == [[1, 1], [2, 2]]


def test_places_that_cannot_be_filled_are_marked():
    index = exact_index.ExactIndex(np.array([[0], [1], [2]], np.float32))
    scores, rows = index.search(tf.constant([[1.0]]), tf.constant([[2]]), tf.constant(99))
    assert rows.numpy().tolist() == [[1, 0]]
    assert scores.numpy()[0, 1] == np.finfo(np.float32).min


def test_k_of_zero_is_nothing():
    index = exact_index.ExactIndex(np.ones((3, 1), np.float32))
    scores, rows = index.search(tf.ones((2, 1)), tf.zeros((2, 0), tf.int32), tf.constant(0))
    assert scores.shape == rows.shape == (2, 0)
