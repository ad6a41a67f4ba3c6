"""Item vectors from id, text and features (Keras 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking.layers.feature_encoder import FeatureEncoder
from homefeed.models.shared.feature_spec import bucket_edges, feature_spec


class ItemEncoder(keras.layers.Layer):
    """Looks up item vectors. The text vectors are set from outside, after BERT has read the catalogue.

    Args:
        catalogue: the items; they become part of the layer as weights that do not train.
        text_width: size of a text vector.
        width: size of an item's vector.
        id_dropout: probability with which an item loses its identity while training, so that cold-start
            items are understood by what they are.

    Attributes:
        ids: [num_rows, width] float32, of which a call reads the rows that it is asked for.
    """

    def __init__(self, catalogue: Catalogue, text_width: int, width: int, id_dropout: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.catalogue = catalogue
        self.text_width = text_width
        self.width = width
        self.id_dropout = id_dropout
        self._seeds = keras.random.SeedGenerator(0)
        spec = feature_spec(catalogue.categorical, catalogue.numeric, catalogue.vocabularies, bucket_edges)
        self._features = FeatureEncoder(spec, 2 * width, name="features") if spec.names else None
        self._text = keras.layers.Dense(2 * width, use_bias=False, name="text")
        self._vector = keras.layers.Dense(width, name="vector")

    @property
    def num_rows(self) -> int:
        """Number of items + 1."""
        return self.catalogue.num_rows

    def build(self, _: Any = None) -> None:
        """Makes the table of ids and the constants of the catalogue."""
        rows = self.catalogue.num_rows
        self.ids = self.add_weight(
            name="id_embedding",
            shape=(rows, self.width),
            initializer=keras.initializers.RandomNormal(0.05, seed=0),
        )
        self._columns = {
            name: self._constant(name, column)
            for name, column in (*self.catalogue.categorical.items(), *self.catalogue.numeric.items())
        }
        self._known = self._constant("known", (self.catalogue.train_counts > 0).astype(np.float32))
        self._texts = self.add_weight(
            name="text_vectors", shape=(rows, self.text_width), initializer="zeros", trainable=False
        )
        if self._features is not None:
            self._features.build()
        self._text.build((None, self.text_width))
        self._vector.build((None, 2 * self.width))

    def set_texts(self, readings: npt.NDArray[np.float32]) -> None:
        """Takes the text model's readings of the items, [num_rows, text_width] float32."""
        self._texts.assign(readings)

    def call(self, rows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Rows of the catalogue to item vectors.

        Args:
            rows: [...] int32 rows of the catalogue.
            training: whether identities are dropped.

        Returns:
            [..., width] float32 vectors. Row 0 gets what nothing at all looks like.
        """
        content = self._content(self.texts(rows), rows)
        # An item that training has never seen keeps no accidental identity.
        keep = self.are_known(rows)
        if training and self.id_dropout:
            dropped = keras.random.uniform(self._known.shape, seed=self._seeds) < self.id_dropout
            keep *= 1.0 - tf.cast(tf.gather(dropped, rows), tf.float32)
        return content + tf.gather(self.ids.value, rows) * keep[..., None]

    def are_known(self, rows: tf.Tensor) -> tf.Tensor:
        """[...] float32, 1 for rows that training has seen somebody with."""
        return tf.gather(self._known.value, rows)

    def texts(self, rows: tf.Tensor) -> tf.Tensor:
        """[...] rows → [..., text_width] float32: BERT's readings, standardised."""
        return tf.gather(self._texts.value, rows)

    def of_text(self, texts: tf.Tensor) -> tf.Tensor:
        """Items of which nothing but the text is known: [..., text_width], standardised → [..., width]."""
        columns = self.catalogue.categorical | self.catalogue.numeric
        return self._joined(texts, {name: tf.constant(columns[name][:1]) for name in self._columns})

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; the catalogue among them is no JSON."""
        own = {"catalogue": self.catalogue, "text_width": self.text_width, "width": self.width}
        return {**super().get_config(), **own, "id_dropout": self.id_dropout}

    def _content(self, text: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        return self._joined(text, {name: tf.gather(column.value, rows) for name, column in self._columns.items()})

    def _joined(self, text: tf.Tensor, columns: Mapping[str, tf.Tensor]) -> tf.Tensor:
        content = tf.tensordot(text, self._text.kernel.value, 1)
        if self._features is not None:
            content += self._features(columns)
        return self._vector(tf.nn.gelu(content))

    def _constant(self, name: str, column: npt.NDArray[Any]) -> Any:
        return self.add_weight(
            name=name,
            shape=column.shape,
            dtype=str(column.dtype),
            initializer=lambda shape, dtype: tf.constant(column, dtype),
            trainable=False,
        )
