"""Strings to positions, inside the graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


class StringTable(tf.Module):
    """Known strings have positions from `first` on; the empty string has 0, any other `unknown`.

    Args:
        strings: UTF-8 bytes, distinct.
        first: position of the first.
        unknown: position of what is not among them.
    """

    def __init__(self, strings: Sequence[bytes], first: int, unknown: int = 0):
        super().__init__(name="string_table")
        self._unknown = unknown
        # The empty string is a key as well: TensorFlow refuses an empty table.
        positions = np.concatenate([[0], np.arange(first, first + len(strings))])
        initializer = tf.lookup.KeyValueTensorInitializer(
            tf.constant([b"", *strings], tf.string), tf.constant(positions, tf.int32)
        )
        self._table = tf.lookup.StaticHashTable(initializer, default_value=0)

    def lookup(self, strings: tf.Tensor) -> tf.Tensor:
        """Positions, int32, of the same shape."""
        return tf.where(strings == "", 0, tf.maximum(self._table.lookup(strings), self._unknown))


def vocabulary_table(vocabulary: Sequence[str]) -> StringTable:
    """Positions in a vocabulary of Catalogue or Sequences: 0 none, 1 unknown."""
    return StringTable([word.encode() for word in vocabulary], first=2, unknown=1)
