"""Numbers as soft one-hot vectors over learnt knots."""

from __future__ import annotations

import tensorflow as tf


class NumberEncoding(tf.keras.layers.Layer):
    """Spreads a number over the two knots that it lies between (piecewise-linear encoding).

    An embedding of the result is a curve through one learnt vector a knot, so years, prices and ages need no
    scaling and may act in any shape (Gorishniy et al. 2022, On Embeddings for Numerical Features).

    Args:
        knots: strictly increasing; at least one. Numbers beyond the ends count as the ends.
    """

    def __init__(self, knots: tuple[float, ...], **kwargs: object):
        super().__init__(**kwargs)
        self.knots = tuple(float(knot) for knot in knots)

    def call(self, numbers: tf.Tensor) -> tf.Tensor:
        """[...] float32 → [..., num_knots] float32 that sums to 1; all 0 where the number is NaN."""
        knots = tf.constant(self.knots, tf.float32)
        known = tf.math.is_finite(numbers)
        clipped = tf.clip_by_value(tf.where(known, numbers, knots[0]), knots[0], knots[-1])[..., None]
        width = knots[1:] - knots[:-1]
        rise = tf.clip_by_value((clipped - knots[:-1]) / width, 0.0, 1.0)  # [..., num_knots - 1]
        ones = tf.ones_like(clipped)
        passed = tf.concat([ones, rise], axis=-1)
        ahead = tf.concat([rise, tf.zeros_like(clipped)], axis=-1)
        return (passed - ahead) * tf.cast(known, tf.float32)[..., None]

    def get_config(self) -> dict[str, object]:
        """The constructor's arguments."""
        return {**super().get_config(), "knots": self.knots}
