"""Causal self-attention that knows how far back, in events and in time, each event lies."""

from __future__ import annotations

import tensorflow as tf

GAP_SECONDS = (1, 60, 600, 3600, 6 * 3600, 86400, 3 * 86400, 7 * 86400, 30 * 86400, 180 * 86400)
NUM_GAPS = len(GAP_SECONDS) + 1


def gap_of(seconds: tf.Tensor) -> tf.Tensor:
    """int32 place of elapsed times among GAP_SECONDS; 0: less than the first, or negative by a wrong clock."""
    return tf.add_n([tf.cast(seconds >= edge, tf.int32) for edge in GAP_SECONDS])


class BiasedAttention(tf.keras.layers.Layer):
    """Multi-head attention with learnt biases by distance and by elapsed time.

    Biases and not position embeddings, so that a window may begin anywhere in a history (Raffel et al. 2020;
    the time bias as in Zhai et al. 2024, Actions Speak Louder than Words).

    Args:
        num_heads: divides `width`.
        max_distance: events further apart share one bias.
        dropout: of the attention weights.
    """

    def __init__(self, width: int, num_heads: int, max_distance: int, dropout: float, **kwargs: object):
        super().__init__(**kwargs)
        if width % num_heads:
            raise ValueError(f"`width` must be a multiple of `num_heads`, got {width} and {num_heads}.")
        self.width = width
        self.num_heads = num_heads
        self.max_distance = max_distance
        self.dropout = dropout
        self._project = tf.keras.layers.Dense(3 * width, name="project")
        self._output = tf.keras.layers.Dense(width, name="output")
        self._dropout = tf.keras.layers.Dropout(dropout)

    def build(self, _: object) -> None:
        """Makes the tables of biases, by distance and by elapsed time."""
        self.distance_bias = self.add_weight(
            name="distance_bias", shape=(self.max_distance + 1, self.num_heads), initializer="zeros"
        )
        self.time_bias = self.add_weight(name="time_bias", shape=(NUM_GAPS, self.num_heads), initializer="zeros")
        super().build(_)

    def call(self, states: tf.Tensor, timestamp: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[batch, num_positions, width] float32, [batch, num_positions] int64 seconds → states.

        A position attends to itself and to earlier ones. Padding may only follow the events.
        """
        batch, length = tf.shape(states)[0], tf.shape(states)[1]
        projected = tf.reshape(
            self._project(states), (batch, length, 3, self.num_heads, self.width // self.num_heads)
        )
        query, key, value = tf.unstack(tf.transpose(projected, (2, 0, 3, 1, 4)))  # [batch, heads, length, size]
        logits = tf.matmul(query, key, transpose_b=True) * (self.width // self.num_heads) ** -0.5
        places = tf.range(length)
        distance = places[:, None] - places[None, :]
        bias = tf.gather(self.distance_bias, tf.clip_by_value(distance, 0, self.max_distance))
        logits += tf.transpose(bias, (2, 0, 1))[None]
        elapsed = timestamp[:, :, None] - timestamp[:, None, :]
        logits += tf.transpose(tf.gather(self.time_bias, gap_of(elapsed)), (0, 3, 1, 2))
        logits = tf.where(distance >= 0, logits, -1e9)
        weights = self._dropout(tf.nn.softmax(logits), training=training)
        mixed = tf.transpose(tf.matmul(weights, value), (0, 2, 1, 3))
        return self._output(tf.reshape(mixed, (batch, length, self.width)))

    def get_config(self) -> dict[str, object]:
        """The constructor's arguments."""
        sizes = {"width": self.width, "num_heads": self.num_heads, "max_distance": self.max_distance}
        return {**super().get_config(), **sizes, "dropout": self.dropout}
