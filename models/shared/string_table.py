"""Strings to positions, inside the graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


class StringTable(tf.Module):
    """Known strings have positions from `first` on; the empty string has 0, any other `unknown`.

    The strings are a variable and no constant of the graph, which a protocol buffer bounds to 2 GB. A server restores
    variables before it fills tables.

    Args:
        strings: UTF-8 bytes, distinct.
        first: position of the first.
        unknown: position of what is not among them.

    Attributes:
        strings: [1 + num_strings] string variable, the empty one first: TensorFlow refuses an empty table.
    """

    def __init__(self, strings: Sequence[bytes], first: int, unknown: int = 0):
        super().__init__(name="string_table")
        self._unknown = unknown
        self.strings = tf.Variable(np.array([b"", *strings, None], object)[:-1], trainable=False, name="strings")
        self._table = tf.lookup.StaticHashTable(_FromVariable(self.strings, first), default_value=0)

    def lookup(self, strings: tf.Tensor) -> tf.Tensor:
        """Positions, int32, of the same shape."""
        return tf.where(strings == "", 0, tf.maximum(self._table.lookup(strings), self._unknown))


def vocabulary_table(vocabulary: Sequence[str]) -> StringTable:
    """Positions in a vocabulary of Catalogue or Sequences: 0 none, 1 unknown."""
    return StringTable([word.encode() for word in vocabulary], first=2, unknown=1)


class _FromVariable(tf.lookup.KeyValueTensorInitializer):
    """Fills a table with what a variable of strings holds: the first is at 0, those behind it at `first` and on."""

    def __init__(self, strings: tf.Variable, first: int):
        super().__init__(tf.zeros([0], tf.string), tf.zeros([0], tf.int32))  # For their dtypes.
        self._strings = strings
        self._first = first

    def initialize(self, table: tf.lookup.StaticHashTable) -> tf.Operation:
        """Runs once where the table is made, and again wherever the SavedModel is loaded."""
        num_strings = self._strings.shape[0] - 1
        positions = tf.concat([[0], tf.range(self._first, self._first + num_strings)], axis=0)
        return tf.raw_ops.LookupTableImportV2(
            table_handle=table.resource_handle, keys=self._strings.read_value(), values=positions
        )
