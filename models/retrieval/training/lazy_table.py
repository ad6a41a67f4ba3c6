"""A large table of which a step of the sampled softmax reads a few rows, and its running mean."""

from __future__ import annotations

import tensorflow as tf

from homefeed.models.shared.lazy_adamw import LazyAdamW, by_row


class LazyTable(tf.Module):
    """LazyAdamW and the running mean of a table's rows.

    The mean is exact: between two changes of a row the distance of its mean from it only shrinks, by the product of
    the momenta, so it can wait for the next change.

    Args:
        table: [num_rows, …] float32.
        weight_decay: decoupled.
    """

    def __init__(self, table: tf.Variable, weight_decay: float):
        super().__init__(name="lazy_table")
        self.table = table
        self._adamw = LazyAdamW(table, weight_decay)
        self._lag = tf.Variable(tf.zeros(table.shape), trainable=False)
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
        rows, summed = by_row(gradient)
        change = self._adamw.update(rows, summed, step, rate)
        # No momentum at all leaves nothing: a logarithm that is small enough says so.
        self._fading.assign_add(tf.math.log(tf.maximum(tf.cast(momentum, tf.float64), 1e-30)))
        lag = self._kept(rows) * tf.gather(self._lag, rows) - momentum * change
        self._lag.scatter_update(tf.IndexedSlices(lag, rows))
        self._faded.scatter_update(tf.IndexedSlices(tf.fill(tf.shape(rows), self._fading), rows))

    def mean(self) -> tf.Tensor:
        """The running mean of every row, of the table's shape."""
        return self.table + self._kept(tf.range(self.table.shape[0])) * self._lag

    def _kept(self, rows: tf.Tensor) -> tf.Tensor:
        """[num_rows, 1, …] float32 shares of the rows' lags that are left, after their last change."""
        kept = tf.cast(tf.exp(self._fading - tf.gather(self._faded, rows)), tf.float32)
        return tf.reshape(kept, [-1] + [1] * (len(self.table.shape) - 1))
