"""Declared features of an item or a user, as one vector (Keras 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

_NUM_BUCKETS = 16


class FeatureEncoder(keras.layers.Layer):
    """Adds up one learnt vector a feature: means of category embeddings, buckets of numbers, projections.

    Args:
        categorical: feature → number of positions, the two reserved ones included.
        numbers: feature → ascending edges of its buckets.
        embeddings: feature → size.
        width: size of the result.
    """

    def __init__(
        self,
        categorical: Mapping[str, int],
        numbers: Mapping[str, tuple[float, ...]],
        embeddings: Mapping[str, int],
        width: int,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.categorical = dict(categorical)
        self.numbers = {name: tuple(edges) for name, edges in numbers.items()}
        self.embeddings = dict(embeddings)
        self.width = width

    def build(self, _: Any) -> None:
        """One table or kernel a feature."""
        rows = self.categorical | {name: len(edges) + 2 for name, edges in self.numbers.items()} | self.embeddings
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
        for name in self.categorical:
            positions = features[name]
            known = tf.cast(positions > 0, tf.float32)[..., None]
            vectors.append(
                tf.reduce_sum(tf.gather(self.tables[name].value, positions) * known, -2)
                / tf.maximum(tf.reduce_sum(known, -2), 1.0)
            )
        for name, edges in self.numbers.items():
            number = features[name][..., 0]
            bucket = tf.reshape(
                tf.searchsorted(tf.constant(edges, tf.float32), tf.reshape(number, [-1]), side="right"),
                tf.shape(number),
            )
            bucket = tf.where(tf.math.is_finite(number), bucket + 1, 0)
            vectors.append(tf.gather(self.tables[name].value, bucket))
        for name in self.embeddings:
            known = tf.where(tf.math.is_finite(features[name]), features[name], 0.0)
            vectors.append(tf.tensordot(known, self.tables[name].value, 1))
        return tf.add_n(vectors)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "categorical": self.categorical,
            "numbers": self.numbers,
            "embeddings": self.embeddings,
            "width": self.width,
        }

    @property
    def is_empty(self) -> bool:
        """Whether there is no feature at all."""
        return not (self.categorical or self.numbers or self.embeddings)


def encoder_of(
    categorical: Mapping[str, npt.NDArray[np.int32]],
    numeric: Mapping[str, npt.NDArray[np.float32]],
    vocabularies: Mapping[str, tuple[str, ...]],
    width: int,
    name: str,
) -> FeatureEncoder:
    """An encoder of the features of a Catalogue or of Sequences; a number that is never known is left out."""
    known = {name: column for name, column in numeric.items() if np.isfinite(column).any()}
    return FeatureEncoder(
        {name: len(vocabularies[name]) + 2 for name in categorical},
        {name: bucket_edges(column) for name, column in known.items() if column.shape[1] == 1},
        {name: column.shape[1] for name, column in known.items() if column.shape[1] > 1},
        width,
        name=name,
    )


def bucket_edges(column: npt.NDArray[np.float32]) -> tuple[float, ...]:
    """Edges that split the known numbers into buckets of about equal counts."""
    known = column[np.isfinite(column)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _NUM_BUCKETS + 1)[1:-1]))
    return tuple(float(edge) for edge in edges)


def _seed(name: str) -> int:
    return sum(ord(character) * 31**place for place, character in enumerate(name[:8])) % 2**31
