import numpy as np
import tensorflow as tf

from homefeed.models.ranking.layers.pooling import lifted, masked_mean, weighted_mean


def test_weighted_mean() -> None:
    vectors = tf.constant([[[1.0, 10.0], [3.0, -2.0]], [[5.0, 5.0], [7.0, 7.0]]])
    found = weighted_mean(vectors, tf.constant([[1.0, 3.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [[2.5, 1.0], [0.0, 0.0]])


def test_masked_mean() -> None:
    values = tf.constant([[2.0, 4.0, 99.0], [1.0, 1.0, 1.0]])
    found = masked_mean(values, tf.constant([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found, [[3.0], [0.0]])


def test_cold_start_items_are_lifted_as_a_group() -> None:
    # Known: 4 and 8, mean 6. New: -3 and -1, mean -2, so that each is lifted by 8; the last place is padding.
    logits = tf.constant([[4.0, -3.0, 8.0, -1.0, 0.5]])
    known, given = tf.constant([[1.0, 0.0, 1.0, 0.0, 0.0]]), tf.constant([[1.0, 1.0, 1.0, 1.0, 0.0]])
    np.testing.assert_allclose(lifted(logits, known, given)[:, :4], [[4.0, 5.0, 8.0, 7.0]], rtol=1e-6)


def test_one_kind_alone_keeps_its_order() -> None:
    logits, ones = tf.constant([[1.0, 5.0]]), tf.ones([1, 2])
    np.testing.assert_allclose(lifted(logits, ones, ones), logits)
    # Nothing known to compare with: the mean becomes 0.
    np.testing.assert_allclose(lifted(logits, tf.zeros([1, 2]), ones), [[-2.0, 2.0]])
