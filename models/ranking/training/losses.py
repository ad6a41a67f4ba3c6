"""Losses of the three heads: order of a list, P(liked), rating."""

from __future__ import annotations

import tensorflow as tf


def listwise_softmax(logits: tf.Tensor, relevance: tf.Tensor, irrelevant: tf.Tensor) -> tf.Tensor:
    """Each relevant candidate against all irrelevant ones of its request.

    The softmax cross-entropy of ListNet (Cao et al., 2007), one relevant candidate at a time: relevant ones do
    not compete with each other.

    Args:
        logits: [batch, num_candidates] float32.
        relevance: [batch, num_candidates] float32, 0: not relevant.
        irrelevant: [batch, num_candidates] bool.

    Returns:
        Mean negative log-likelihood in nats, weighted by relevance; 0 if nothing is relevant.
    """
    others = tf.reduce_logsumexp(tf.where(irrelevant, logits, -1e9), axis=1, keepdims=True)
    losses = tf.nn.softplus(others - logits)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * relevance), tf.reduce_sum(relevance))


def binary_cross_entropy(logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Weighted mean, in nats, summed over an axis that the weights have once; 0 if all weights are."""
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))


def squared_error(predictions: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Weighted mean; 0 if all weights are. A target of weight 0 may be NaN."""
    errors = tf.where(weights > 0, predictions - targets, 0.0)
    return tf.math.divide_no_nan(tf.reduce_sum(tf.square(errors) * weights), tf.reduce_sum(weights))
