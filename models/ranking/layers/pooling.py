"""Means over what is there."""

from __future__ import annotations

import tensorflow as tf


def weighted_mean(vectors: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """[batch, n, width] and [batch, n] → [batch, width]; 0 where all weights are."""
    total = tf.reduce_sum(weights, 1, keepdims=True)
    return tf.math.divide_no_nan(tf.linalg.matvec(vectors, weights, transpose_a=True), total)


def masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """[batch, 1] means over the last axis where `mask` [batch, n] float32 is 1; 0 where it never is."""
    return tf.math.divide_no_nan(
        tf.reduce_sum(values * mask, axis=-1, keepdims=True), tf.reduce_sum(mask, axis=-1, keepdims=True)
    )


def lifted(logits: tf.Tensor, known: tf.Tensor, given: tf.Tensor) -> tf.Tensor:
    """Lifts the cold-start items of a request, as a group, to the mean logit of the others.

    In training they were never right, so that the ranker would put all of them last. How likely such items are at
    all is for retrieval to say, which has learnt it; the ranker says which of them.

    Args:
        logits: [batch, num_candidates] float32.
        known: [batch, num_candidates] float32, 1 for items with interactions in training.
        given: [batch, num_candidates] float32, 0 for padding.
    """
    new = (1.0 - known) * given
    return logits + (1.0 - known) * (masked_mean(logits, known) - masked_mean(logits, new))
