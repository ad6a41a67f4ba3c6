"""How well each item's text suits what a query means, whatever words either of them uses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.text.text_model import TextModel


class Meaning(tf.Module):
    """The text model's affinity between a query and every item, in nats.

    It learnt from what people picked after they had searched, so that a query finds items that say the same in other
    words; TextMatch beside it finds words that nobody ever searched for.

    Args:
        text: reads queries.
        text_vectors: [num_rows, size] float32, as in Catalogue.
    """

    def __init__(self, text: TextModel, text_vectors: npt.NDArray[np.float32]):
        super().__init__(name="meaning")
        self._text = text
        self._weights = text.variables  # SavedModel does not know Keras 3's variables.
        self._offered = tf.Variable(text_vectors, trainable=False, name="offered")

    def read(self, token_ids: tf.Tensor) -> tf.Tensor:
        """[batch, n] int32 token ids of queries, 0-padded → [batch, size] float32; 0 where nothing is asked."""
        return self._text.asked(self._text.with_ids_in_range(token_ids))

    def of_item(self, token_ids: tf.Tensor) -> tf.Tensor:
        """The text vectors of items outside the catalogue: [batch, n] int32, 0-padded → [batch, size] float32."""
        return self._text.offer(token_ids)

    def affinity(self, meant: tf.Tensor) -> tf.Tensor:
        """One row of what `read` gives → [num_rows] float32; 0 for an item without a text."""
        return tf.linalg.matvec(self._offered, meant)
