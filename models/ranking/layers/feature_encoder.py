"""Declared features of an item or a user, as one vector (Keras 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import keras
import tensorflow as tf

from homefeed.models.shared.feature_spec import FeatureSpec


class FeatureEncoder(keras.layers.Layer):
    """Adds up one learnt vector a feature: means of category embeddings, buckets of numbers, projections.

    Args:
        spec: the features; its knots are the edges of the numbers' buckets.
        width: size of the result.
    """

    def __init__(self, spec: FeatureSpec, width: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.spec = spec
        self.width = width

    def build(self, _: Any = None) -> None:
        """One table or kernel a feature; a number has a row for unknown and one for each bucket."""
        spec = self.spec
        rows = {**spec.vocabulary_sizes, **{name: len(edges) + 2 for name, edges in spec.knots.items()}, **spec.sizes}
        self.tables = {
            name: self.add_weight(
                name=f"{name}_embedding",
                shape=(size, self.width),
                initializer=keras.initializers.RandomNormal(0.05, seed=_seed(name)),
            )
            for name, size in sorted(rows.items())
        }

    def call(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Features, as in Catalogue and Sequences, with any leading axes → [..., width] float32."""
        vectors = []
        for name in self.spec.vocabulary_sizes:
            positions = features[name]
            known = tf.cast(positions > 0, tf.float32)[..., None]
            vectors.append(
                tf.reduce_sum(tf.gather(self.tables[name].value, positions) * known, -2)
                / tf.maximum(tf.reduce_sum(known, -2), 1.0)
            )
        for name, edges in self.spec.knots.items():
            vectors.append(tf.gather(self.tables[name].value, bucket(features[name][..., 0], edges)))
        for name in self.spec.sizes:
            known = tf.where(tf.math.is_finite(features[name]), features[name], 0.0)
            vectors.append(tf.tensordot(known, self.tables[name].value, 1))
        return tf.add_n(vectors)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "spec": self.spec.to_config(), "width": self.width}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`."""
        return cls(**{**config, "spec": FeatureSpec.from_config(config["spec"])})


def bucket(numbers: tf.Tensor, edges: tuple[float, ...]) -> tf.Tensor:
    """[...] int32: 0 for unknown, then 1 below the first edge, 2 from the first edge on, and so forth."""
    place = tf.searchsorted(tf.constant(edges, tf.float32), tf.reshape(numbers, [-1]), side="right")
    return tf.where(tf.math.is_finite(numbers), tf.reshape(place, tf.shape(numbers)) + 1, 0)


def _seed(name: str) -> int:
    return sum(ord(character) * 31**place for place, character in enumerate(name[:8])) % 2**31
