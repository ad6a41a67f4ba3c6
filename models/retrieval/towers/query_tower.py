"""Users as vectors: by what they did, in order, and by who they are."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from homefeed.models.retrieval.towers import biased_attention, feature_encoder, number_encoding
from homefeed.models.shared.feature_spec import FeatureSpec

HIDDEN_WAITS = 0.1  # Share of the times between events that training hides, for requests without a time.


class QueryTower(tf.keras.layers.Layer):
    """A causal transformer over a user's events, with the user in front (Kang and McAuley 2018, SASRec).

    We differ: events carry value, type and time; attention is biased by distance and elapsed time; each place knows
    how long the user has been away since; and place 0 holds the user's features, so its output answers for a user
    with no history.

    Args:
        width, num_layers, num_heads, max_events, dropout: see Hyperparameters.
        user_spec: the user features; may be empty.
        num_event_types: positions of the event-type vocabulary.
        value_knots: knots of the events' values.
    """

    def __init__(
        self,
        width: int,
        num_layers: int,
        num_heads: int,
        max_events: int,
        dropout: float,
        user_spec: FeatureSpec,
        num_event_types: int,
        value_knots: tuple[float, ...],
        **kwargs: object,
    ):
        super().__init__(**kwargs)
        self.width = width
        self._user = feature_encoder.FeatureEncoder(user_spec, width, name="user") if user_spec.names else None
        self._value = number_encoding.NumberEncoding(value_knots)
        self._value_kernel = tf.keras.layers.Dense(width, use_bias=False, name="value")
        self._wait = tf.keras.layers.Embedding(biased_attention.NUM_GAPS + 1, width, "zeros", name="wait")
        self._event_type = tf.keras.layers.Embedding(num_event_types, width, name="event_type")
        self._dropout = tf.keras.layers.Dropout(dropout)
        norm = tf.keras.layers.LayerNormalization
        self._layers_ = [
            {
                "attention_norm": norm(name=f"attention_norm_{i}"),
                "attention": biased_attention.BiasedAttention(
                    width, num_heads, max_events, dropout, name=f"attention_{i}"
                ),
                "dense_norm": norm(name=f"dense_norm_{i}"),
                "expand": tf.keras.layers.Dense(2 * width, activation="gelu", name=f"expand_{i}"),
                "contract": tf.keras.layers.Dense(width, name=f"contract_{i}"),
            }
            for i in range(num_layers)
        ]
        self._event_norm = norm(name="event_norm")
        self._final_norm = norm(name="final_norm")

    def build(self, _: object) -> None:
        """The vector that stands in front of every history."""
        self.start = self.add_weight(name="start", shape=(self.width,), initializer="zeros")
        super().build(_)

    def call(
        self, events: Mapping[str, tf.Tensor], user: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """Embeds the user before the first event and after each.

        Args:
            events: `embedding` [batch, num_events, width] candidate embeddings, `value` [batch, num_events]
                float32 (NaN: none), `event_type` [batch, num_events] int32, `timestamp` [batch, num_events]
                int64, `item` [batch, num_events] int32, 0 for padding; oldest first, padding last; at least one
                place. `now` [batch] int64, the time of the request. Times of 0 are unknown.
            user: the features of the spec.
            training: whether to drop out.

        Returns:
            [batch, 1 + num_events, width] float32 query embeddings; place p has seen p events.
        """
        states = events["embedding"] + self._event_type(events["event_type"])
        states += self._value_kernel(self._value(events["value"]))
        states = self._event_norm(states)
        first = tf.zeros_like(states[:, 0]) + self.start
        if self._user is not None:
            first += self._user(user, training=training)
        states = tf.concat([first[:, None], states], axis=1) + self._wait(self._waits(events, training))
        states = self._dropout(states, training=training)
        timestamp = tf.concat([events["timestamp"][:, :1], events["timestamp"]], axis=1)
        for layer in self._layers_:
            mixed = layer["attention"](layer["attention_norm"](states), timestamp, training=training)
            states += self._dropout(mixed, training=training)
            dense = layer["contract"](layer["expand"](layer["dense_norm"](states)))
            states += self._dropout(dense, training=training)
        return self._final_norm(states)

    def _waits(self, events: Mapping[str, tf.Tensor], training: bool) -> tf.Tensor:
        """[batch, 1 + num_events] int32: time from each place to the next, or to the request; 0: unknown."""
        timestamp = events["timestamp"]
        places = tf.range(tf.shape(timestamp)[1] + 1)[None]
        coming = tf.pad(timestamp, ((0, 0), (0, 1)))
        coming = tf.where(places == num_events(events["item"])[:, None], events["now"][:, None], coming)
        before = tf.pad(timestamp, ((0, 0), (1, 0)))
        known = (coming > 0) & (before > 0)
        if training:
            known &= tf.random.uniform(tf.shape(known)) >= HIDDEN_WAITS
        return tf.where(known, 1 + biased_attention.gap_of(coming - before), 0)


def num_events(item: tf.Tensor) -> tf.Tensor:
    """[batch] int32 places up to the last event of `item` [batch, length] int32, where 0 is padding or unknown."""
    return tf.reduce_max(tf.where(item > 0, tf.range(tf.shape(item)[1]) + 1, 0), axis=1)
