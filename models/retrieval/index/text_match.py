"""Text match: the weighted share of a query's words that an item's text contains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

# How far above others an item goes that has every word of a query, in standard deviations of the scores.
WEIGHT = 6.0
_MAX_POWER = 100.0  # Above it a share of 1 is no longer one after rounding.


class TextMatch(tf.Module):
    """The share of a query's words that an item has, each word weighing what it tells (its inverse frequency).

    It works from the first request, for words that no user has ever searched for, in any language of the
    catalogue, and needs no training.

    Args:
        token_ids: [num_rows, item_tokens] int32, as in Catalogue.
        ignored: token ids that mean nothing, such as that of unknown words.
    """

    def __init__(self, token_ids: npt.NDArray[np.int32], ignored: Sequence[int] = ()):
        super().__init__(name="text_match")
        distinct = _distinct(token_ids)
        num_items = np.bincount(distinct.ravel(), minlength=2)
        weights = np.log1p(len(token_ids) / np.maximum(num_items, 1)).astype(np.float32)
        # One more place, for tokens of a later vocabulary or none: no item has them.
        weights = np.append(weights, weights.max(initial=0))
        weights[[0, *(token for token in ignored if token < len(weights))]] = 0
        self._is_held = tf.constant(np.append(num_items > 0, False) & (weights > 0))
        self._tokens = tf.Variable(distinct, trainable=False, name="distinct_tokens")
        self._weights = tf.Variable(weights, trainable=False, name="token_weights")

    def read(self, token_ids: tf.Tensor) -> tf.Tensor:
        """[batch, n] int32 token ids, 0-padded → [batch, num_tokens] float32 weights that add up to 1, or are 0."""
        size = self._weights.shape[0]
        token_ids = tf.where((token_ids < 0) | (token_ids >= size), size - 1, token_ids)
        asked = tf.math.bincount(
            token_ids, minlength=size, maxlength=size, dtype=tf.float32, axis=-1, binary_output=True
        )
        asked *= self._weights
        return tf.math.divide_no_nan(asked, tf.reduce_sum(asked, axis=1, keepdims=True))

    def finds(self, weights: tf.Tensor) -> tf.Tensor:
        """What `read` gives → [batch] bool: whether any item has any of the words."""
        return tf.reduce_any((weights > 0) & self._is_held, axis=1)

    def shares(self, weights: tf.Tensor) -> tf.Tensor:
        """One row of what `read` gives → [num_rows] float32 in [0, 1]."""
        return tf.reduce_sum(tf.gather(weights, self._tokens), axis=1)


def lift(shares: tf.Tensor, scores: tf.Tensor, meaning: tf.Tensor) -> tf.Tensor:
    """What a query's words add to the scores of items.

    Who types a title means that item, whatever the text model makes of its words: every word lifts above all that
    scores and meaning say. Some of them lift in proportion where nothing is known of the query but its words; the
    more its meaning tells items apart beside the asker's taste, the less: what lacks a word may say it in others,
    and what has one may be something else.

    Args:
        shares: [num_rows] float32 in [0, 1], what `TextMatch.shares` gives.
        scores: [num_rows] float32, how well each item suits the asker.
        meaning: [num_rows] float32, how well it suits what the query means, on the same scale; 0 where unknown.

    Returns:
        [num_rows] float32.
    """
    taste, both = tf.math.reduce_variance(scores), tf.math.reduce_variance(scores + meaning)
    power = tf.clip_by_value(both / tf.maximum(taste, 1e-12), 1.0, _MAX_POWER)
    return WEIGHT * tf.sqrt(both) * shares**power


def _distinct(token_ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Each row's tokens once, the rest 0."""
    ordered = np.sort(token_ids, axis=1)
    repeats = np.zeros(ordered.shape, bool)
    repeats[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return np.where(repeats, 0, ordered).astype(np.int32)
