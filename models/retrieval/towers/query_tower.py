"""The query tower: an embedding of a user's history and features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import tensorflow as tf

from homefeed.models.retrieval.towers import biased_attention
from homefeed.models.retrieval.towers.feature_encoder import FeatureEncoder
from homefeed.models.shared.feature_spec import FeatureSpec
from homefeed.models.shared.local_time import LocalTime
from homefeed.models.shared.request_specs import OF_CONTEXT, OF_EVENTS

HIDDEN = 0.1  # Share of the places whose time, or context, training hides, for requests that do not say it.


class QueryTower(tf.keras.layers.Layer):
    """A causal transformer over a user's events, with the user in front (Kang and McAuley 2018, SASRec).

    We differ: events carry their features and time; attention is biased by distance and elapsed time; each place
    knows how long the user has been away since, and in which context the next item is asked for; and place 0 holds
    the user's features, so its output answers for a user with no history.

    Args:
        width, num_layers, num_heads, max_events, dropout: see Hyperparameters.
        user_spec, event_spec, context_spec: the features of users, events and requests; each may be empty. What local
            time says of a request is among its features.
        time_zone: IANA name; "": local time is not known.
    """

    def __init__(
        self,
        width: int,
        num_layers: int,
        num_heads: int,
        max_events: int,
        dropout: float,
        user_spec: FeatureSpec,
        event_spec: FeatureSpec,
        context_spec: FeatureSpec,
        time_zone: str = "",
        **kwargs: object,
    ):
        super().__init__(**kwargs)
        self.width = width
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.max_events = max_events
        self.dropout = dropout
        self.user_spec = user_spec
        self.event_spec = event_spec
        self.context_spec = context_spec
        self.time_zone = time_zone
        self._user = FeatureEncoder(user_spec, width, name="user") if user_spec.names else None
        self._event = FeatureEncoder(event_spec, width, name="event") if event_spec.names else None
        self._context = FeatureEncoder(context_spec, width, name="context") if context_spec.names else None
        self._local_time = LocalTime(time_zone) if time_zone else None
        self._wait = tf.keras.layers.Embedding(biased_attention.NUM_GAPS + 1, width, "zeros", name="wait")
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
        """Makes the vector of place 0, in front of every history."""
        self.start = self.add_weight(name="start", shape=(self.width,), initializer="zeros")
        super().build(_)

    def call(
        self, events: Mapping[str, tf.Tensor], user: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """Embeds the user before the first event and after each.

        Args:
            events: `embedding` [batch, num_events, width] candidate embeddings, `history_<feature>` [batch,
                num_events] int32 or float32 (NaN: none), `timestamp` [batch, num_events] int64, `item` [batch,
                num_events] int32, 0 for padding; oldest first, padding last; at least one place. Of the request:
                `now` [batch] int64 and `context_<feature>` [batch]. Times of 0 are unknown.
            user: the features of the spec.
            training: whether to drop out.

        Returns:
            [batch, 1 + num_events, width] float32 query embeddings; place p has seen p events.
        """
        states = events["embedding"]
        if self._event is not None:
            states += _encode(self._event, {n: events[f"{OF_EVENTS}{n}"] for n in self._event.spec.names})
        states = self._event_norm(states)
        first = tf.zeros_like(states[:, 0]) + self.start
        if self._user is not None:
            first += self._user(user, training=training)
        states = tf.concat([first[:, None], states], axis=1) + self._wait(self._waits(events, training))
        if self._context is not None:
            states += self._contexts(self._context, events, training)
        states = self._dropout(states, training=training)
        timestamp = tf.concat([events["timestamp"][:, :1], events["timestamp"]], axis=1)
        for layer in self._layers_:
            mixed = layer["attention"](layer["attention_norm"](states), timestamp, training=training)
            states += self._dropout(mixed, training=training)
            dense = layer["contract"](layer["expand"](layer["dense_norm"](states)))
            states += self._dropout(dense, training=training)
        return self._final_norm(states)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "width": self.width,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "max_events": self.max_events,
            "dropout": self.dropout,
            "user_spec": self.user_spec.to_config(),
            "event_spec": self.event_spec.to_config(),
            "context_spec": self.context_spec.to_config(),
            "time_zone": self.time_zone,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`."""
        specs = {name: FeatureSpec.from_config(value) for name, value in config.items() if name.endswith("_spec")}
        return cls(**{**config, **specs})

    def _waits(self, events: Mapping[str, tf.Tensor], training: bool) -> tf.Tensor:
        """[batch, 1 + num_events] int32: time from each place to the next, or to the request; 0: unknown."""
        coming = _coming(events["timestamp"], events["now"], events["item"])
        before = tf.pad(events["timestamp"], ((0, 0), (1, 0)))
        known = (coming > 0) & (before > 0) & _is_shown(coming, training)
        return tf.where(known, 1 + biased_attention.gap_of(coming - before), 0)

    def _contexts(self, encoder: FeatureEncoder, events: Mapping[str, tf.Tensor], training: bool) -> tf.Tensor:
        """[batch, 1 + num_events, width]: in which context each place is asked for what comes next."""
        time = _coming(events["timestamp"], events["now"], events["item"])
        features = {} if self._local_time is None else self._local_time(time)
        for name in encoder.spec.names:
            if name not in features:
                said = events[f"{OF_EVENTS}{name}"], events[f"{OF_CONTEXT}{name}"]
                features[name] = _coming(*said, events["item"])
        return _encode(encoder, features) * tf.cast(_is_shown(time, training), tf.float32)[..., None]


def _coming(column: tf.Tensor, of_request: tf.Tensor, item: tf.Tensor) -> tf.Tensor:
    """[batch, 1 + num_events] what each place is about to meet: the next event's value, or the request's [batch]."""
    places = tf.range(tf.shape(column)[1] + 1)[None]
    coming = tf.pad(column, ((0, 0), (0, 1)))
    return tf.where(places == num_events(item)[:, None], of_request[:, None], coming)


def _is_shown(places: tf.Tensor, training: bool) -> tf.Tensor:
    """Bool of the shape of `places`: what training does not hide."""
    return tf.random.uniform(tf.shape(places)) >= HIDDEN if training else tf.ones_like(places, tf.bool)


def _encode(encoder: FeatureEncoder, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """[batch, places] features → [batch, places, width]."""
    shape = tf.shape(next(iter(features.values())))
    rows = {name: tf.reshape(column, [-1, 1]) for name, column in features.items()}
    return tf.reshape(encoder(rows), [shape[0], shape[1], encoder.width])


def num_events(item: tf.Tensor) -> tf.Tensor:
    """[batch] int32 places up to the last event of `item` [batch, length] int32, where 0 is padding or unknown."""
    return tf.reduce_max(tf.where(item > 0, tf.range(tf.shape(item)[1]) + 1, 0), axis=1)
