"""Numbers about when a user did something: of each event, and of the user as a whole."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

SECONDS = (60.0, 86_400.0, 2_592_000.0)  # A minute, a day, a month: scales of elapsed time.
_RECENCIES = (1.0, 5.0, 25.0)  # Events after which 1/e is left.

Tensors = Mapping[str, tf.Tensor]


def event_features(request: Tensors, num_events: int) -> tf.Tensor:
    """[batch, num_events, 6] float32 of the newest events: logarithms of elapsed times, and how many came since.

    Args:
        request: `timestamp` [batch] and `recent_timestamps` [batch, …] int64, newest first.
        num_events: at most so many.
    """
    times = request["recent_timestamps"][:, :num_events]
    elapsed = _log_times(tf.maximum(request["timestamp"][:, None] - times, 0))
    age = tf.range(tf.shape(times)[1], dtype=tf.float32)[None, :, None]
    recency = tf.tile(tf.exp(-age / _RECENCIES), [tf.shape(times)[0], 1, 1])
    return tf.concat([elapsed, recency], axis=-1)


def user_statistics(request: Tensors) -> tf.Tensor:
    """[batch, 4] float32: how much is known of the user, and how long ago the newest event was."""
    count = tf.math.log1p(tf.reduce_sum(tf.cast(request["recent_items"] > 0, tf.float32), 1))
    gap = _log_times(tf.maximum(request["timestamp"] - request["recent_timestamps"][:, 0], 0))
    return tf.concat([count[:, None] / 5, gap], axis=1)


def _log_times(seconds: tf.Tensor) -> tf.Tensor:
    """[...] int64 → [..., 3] float32."""
    return tf.math.log1p(tf.cast(seconds, tf.float32)[..., None] / SECONDS) / 5
