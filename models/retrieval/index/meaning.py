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
        text: reads queries and items.
        token_ids: [num_rows, item_tokens] int32, as in Catalogue.
    """

    def __init__(self, text: TextModel, token_ids: npt.NDArray[np.int32]):
        super().__init__(name="meaning")
        self._text = text
        self._weights = text.variables  # SavedModel does not know Keras 3's variables.
        offered = text.heads.offered(tf.constant(text.read_all(token_ids)))
        self._offered = tf.Variable(offered, trainable=False, name="offered")

    def read(self, token_ids: tf.Tensor) -> tf.Tensor:
        """[batch, n] int32 token ids of queries, 0-padded → [batch, size] float32; 0 where nothing is asked."""
        return self._text.asked(self._text.with_ids_in_range(token_ids))

    def affinity(self, meant: tf.Tensor) -> tf.Tensor:
        """One row of what `read` gives → [num_rows] float32; 0 for an item without a text."""
        return tf.linalg.matvec(self._offered, meant)
