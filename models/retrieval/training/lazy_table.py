"""Updates of a large table of which a step reads a few rows: what they cost does not depend on the others."""

from __future__ import annotations

import tensorflow as tf

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # As Keras' AdamW has them.


class LazyTable(tf.Module):
    """AdamW and the running mean of a table's rows; a row without a gradient stays as it is.

    AdamW (Loshchilov and Hutter 2019) moves and decays a row in steps that did not read it as well, and the mean of
    the weights takes every row in at every step: most of a step's cost where a catalogue is large. Here, as in lazy
    Adam, moments, decay and change are those of steps with a gradient; steps are counted as AdamW counts them. A row
    that every step reads is updated as AdamW does. The mean is exact: between two changes of a row the distance of
    its mean from it only shrinks, by the product of the momenta, so it can wait for the next change.

    Args:
        table: [num_rows, …] float32.
        weight_decay: decoupled.
    """

    def __init__(self, table: tf.Variable, weight_decay: float):
        super().__init__(name="lazy_table")
        self.table = table
        self._weight_decay = weight_decay
        zeros = tf.zeros(table.shape)
        self._first, self._second, self._lag = (tf.Variable(zeros, trainable=False) for _ in range(3))
        # Sums of logarithms of momenta, until now and until each row's last change: as float64, for they grow.
        self._fading = tf.Variable(tf.zeros([], tf.float64), trainable=False)
        self._faded = tf.Variable(tf.zeros(table.shape[:1], tf.float64), trainable=False)

    def update(self, gradient: tf.IndexedSlices, step: tf.Tensor, rate: tf.Tensor, momentum: tf.Tensor) -> None:
        """One step.

        Args:
            gradient: of some rows, which may be there several times.
            step: [] int, 1 for the first.
            rate: [] float32, the learning rate.
            momentum: [] float32, the share that means keep of themselves.
        """
        rows, places = tf.unique(gradient.indices)
        change = self._change(rows, tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows)), step, rate)
        # No momentum at all leaves nothing: a logarithm that is small enough says so.
        self._fading.assign_add(tf.math.log(tf.maximum(tf.cast(momentum, tf.float64), 1e-30)))
        lag = self._kept(rows) * tf.gather(self._lag, rows) - momentum * change
        self.table.scatter_add(tf.IndexedSlices(change, rows))
        self._lag.scatter_update(tf.IndexedSlices(lag, rows))
        self._faded.scatter_update(tf.IndexedSlices(tf.fill(tf.shape(rows), self._fading), rows))

    def mean(self) -> tf.Tensor:
        """The running mean of every row, of the table's shape."""
        return self.table + self._kept(tf.range(self.table.shape[0])) * self._lag

    def _change(self, rows: tf.Tensor, gradient: tf.Tensor, step: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        """What AdamW adds to the rows."""
        steps = tf.cast(step, tf.float32)
        first = BETA_1 * tf.gather(self._first, rows) + (1 - BETA_1) * gradient
        second = BETA_2 * tf.gather(self._second, rows) + (1 - BETA_2) * tf.square(gradient)
        self._first.scatter_update(tf.IndexedSlices(first, rows))
        self._second.scatter_update(tf.IndexedSlices(second, rows))
        corrected = rate * tf.sqrt(1 - BETA_2**steps) / (1 - BETA_1**steps)
        decay = rate * self._weight_decay * tf.gather(self.table, rows)
        return -decay - corrected * first / (tf.sqrt(second) + EPSILON)

    def _kept(self, rows: tf.Tensor) -> tf.Tensor:
        """[num_rows, 1, …] float32 shares of the rows' lags that are left, after their last change."""
        kept = tf.cast(tf.exp(self._fading - tf.gather(self._faded, rows)), tf.float32)
        return tf.reshape(kept, [-1] + [1] * (len(self.table.shape) - 1))
