"""Rows of a table that is read as a whole, too."""

from __future__ import annotations

import tensorflow as tf


def gather_rows(table: tf.Variable, rows: tf.Tensor) -> tf.Tensor:
    """`tf.gather` of the table's value.

    `tf.gather` of a variable is the op ResourceGather, which marks it as one whose rows change: from then on, whoever
    reads the whole variable gets a copy of it, at each request. Reading a value that nobody changes costs nothing.

    Args:
        table: [num_rows, ...] that nothing is assigned to while a model is served.
        rows: [...] int32.

    Returns:
        [..., ...] of the table's dtype.
    """
    return tf.gather(table.read_value(), rows)
