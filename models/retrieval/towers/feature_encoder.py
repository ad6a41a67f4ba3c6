"""Declared features of an item or a user, as one vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import tensorflow as tf

from homefeed.models.retrieval.towers import number_encoding
from homefeed.models.shared.feature_spec import FeatureSpec


class FeatureEncoder(tf.keras.layers.Layer):
    """Adds up one learnt vector a feature: means of category embeddings, curves of numbers, projections.

    Args:
        spec: the features; the inputs are a dict with exactly their names.
        width: size of the result.
        dropout: probability with which a whole feature is left out of a row while training.
    """

    def __init__(self, spec: FeatureSpec, width: int, dropout: float = 0.0, **kwargs: object):
        super().__init__(**kwargs)
        self.spec = spec
        self.width = width
        self.dropout = dropout
        self._encodings = {name: number_encoding.NumberEncoding(knots) for name, knots in self.spec.knots.items()}
        self._dropout = tf.keras.layers.Dropout(dropout)

    def build(self, _: object) -> None:
        """One table or kernel a feature."""
        rows = {
            **self.spec.vocabulary_sizes,
            **{name: len(knots) for name, knots in self.spec.knots.items()},
            **self.spec.sizes,
        }
        self.tables = {
            name: self.add_weight(
                name=name,
                shape=(num_rows, self.width),
                initializer=tf.keras.initializers.RandomNormal(
                    stddev=0.1 if name not in self.spec.sizes else num_rows**-0.5
                ),
            )
            for name, num_rows in rows.items()
        }
        super().build(_)

    def call(self, features: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Categorical [rows, num_values] int32 and numeric [rows, size] float32 → [rows, width] float32."""
        parts = [mean_embedding(self.tables[name], features[name]) for name in self.spec.vocabulary_sizes]
        parts += [self._encodings[name](features[name][:, 0]) @ self.tables[name] for name in self.spec.knots]
        parts += [_unit_or_zero(features[name]) @ self.tables[name] for name in self.spec.sizes]
        stacked = tf.stack(parts, axis=1)  # [rows, num_features, width]
        if training:
            keep = self._dropout(tf.ones(tf.shape(stacked)[:2]), training=True)
            stacked *= keep[:, :, None]
        return tf.reduce_sum(stacked, axis=1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"spec": self.spec.to_config(), "width": self.width, "dropout": self.dropout}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`."""
        return cls(**{**config, "spec": FeatureSpec.from_config(config["spec"])})


def mean_embedding(table: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """[rows, num_values] positions, 0 = none → [rows, width] mean of their embeddings, 0 where there is none."""
    present = tf.cast(positions > 0, tf.float32)
    total = tf.reduce_sum(tf.gather(table, positions) * present[..., None], axis=1)
    return total / tf.maximum(tf.reduce_sum(present, axis=1, keepdims=True), 1.0)


def _unit_or_zero(vectors: tf.Tensor) -> tf.Tensor:
    """Scales to length 1; a vector with any NaN is unknown: all 0."""
    known = tf.reduce_all(tf.math.is_finite(vectors), axis=-1, keepdims=True)
    return tf.math.l2_normalize(tf.where(known, vectors, tf.zeros_like(vectors)), axis=-1)
