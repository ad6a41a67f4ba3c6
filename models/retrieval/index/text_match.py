"""Text match: the weighted share of a query's words that an item's text contains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.shared.gathering import gather_rows

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
        rows, num_items = _postings(token_ids)
        weights = np.log1p(len(token_ids) / np.maximum(num_items, 1)).astype(np.float32)
        weights[0] = 0
        # One more place, for tokens of a later vocabulary or none: no item has them.
        weights = np.append(weights, weights.max())
        weights[[token for token in ignored if token < len(weights)]] = 0
        self._is_held = tf.constant(np.append(num_items > 0, False) & (weights > 0))
        self._num_rows = len(token_ids)
        # The rows that have a token, token by token, and where each token's begin; the last place is their end.
        self._rows = tf.Variable(rows, trainable=False, name="token_rows")
        begins = np.cumsum([0, *num_items, 0], dtype=np.int32)
        self._begins = tf.Variable(begins, trainable=False, name="token_begins")
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
        """One row of what `read` gives → [num_rows] float32 in [0, 1]; only rows that have a word are looked at."""
        tokens = tf.where(weights > 0)[:, 0]
        begins = self._begins.read_value()
        places = tf.ragged.range(tf.gather(begins, tokens), tf.gather(begins, tokens + 1))
        each = tf.gather(tf.gather(weights, tokens), places.value_rowids())
        return tf.math.unsorted_segment_sum(each, gather_rows(self._rows, places.flat_values), self._num_rows)


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


def _postings(token_ids: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The rows that have each token, from 1 on, and how many they are: [num_pairs] int32, [num_tokens] int64."""
    ordered = np.sort(token_ids, axis=1)
    is_first = ordered > 0
    is_first[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    rows, places = np.nonzero(is_first)
    tokens = ordered[rows, places]
    return rows[np.argsort(tokens, kind="stable")].astype(np.int32), np.bincount(tokens, minlength=2)
