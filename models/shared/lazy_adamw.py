"""AdamW of a large table of which a step reads a few rows: what it costs does not depend on the others."""

from __future__ import annotations

import tensorflow as tf

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # As Keras' AdamW has them.


class LazyAdamW(tf.Module):
    """AdamW (Loshchilov and Hutter 2019) of a table's rows; a row without a gradient stays as it is.

    AdamW moves and decays a row in steps that did not read it as well: most of a step's cost where a catalogue is
    large. Here, as in lazy Adam, moments, decay and change are those of steps with a gradient; steps are counted as
    AdamW counts them. A row that every step reads is updated as AdamW does.

    Args:
        table: [num_rows, …] float32.
        weight_decay: decoupled.
    """

    def __init__(self, table: tf.Variable, weight_decay: float = 0.0):
        super().__init__(name="lazy_adamw")
        self._table = table
        self._weight_decay = weight_decay
        zeros = tf.zeros(table.shape)
        self._first, self._second = (tf.Variable(zeros, trainable=False) for _ in range(2))

    def update(self, rows: tf.Tensor, gradient: tf.Tensor, step: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        """One step; returns [n, …] float32, what it added to the rows.

        Args:
            rows: [n] int, each once.
            gradient: [n, …] float32.
            step: [] int, 1 for the first.
            rate: [] float32, the learning rate.
        """
        steps = tf.cast(step, tf.float32)
        first = BETA_1 * tf.gather(self._first, rows) + (1 - BETA_1) * gradient
        second = BETA_2 * tf.gather(self._second, rows) + (1 - BETA_2) * tf.square(gradient)
        self._first.scatter_update(tf.IndexedSlices(first, rows))
        self._second.scatter_update(tf.IndexedSlices(second, rows))
        corrected = rate * tf.sqrt(1 - BETA_2**steps) / (1 - BETA_1**steps)
        decay = rate * self._weight_decay * tf.gather(self._table, rows)
        change = -decay - corrected * first / (tf.sqrt(second) + EPSILON)
        self._table.scatter_add(tf.IndexedSlices(change, rows))
        return change


def by_row(gradient: tf.IndexedSlices) -> tuple[tf.Tensor, tf.Tensor]:
    """[n] rows, each once, and [n, …] the gradients of each added up."""
    rows, places = tf.unique(gradient.indices)
    return rows, tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
