"""Top-k by scoring every candidate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

EXCLUDED = np.finfo(np.float32).min  # Score of what must not be shown.


class ExactIndex(tf.Module):
    """Inner products with all candidates: right for small catalogues, and the yardstick of other indexes.

    Args:
        embeddings: [num_rows, size] float32; row 0 is never found.
    """

    def __init__(self, embeddings: npt.NDArray[np.float32]):
        super().__init__(name="exact_index")
        self.embeddings = tf.Variable(embeddings, trainable=False, name="candidates")

    def search(self, queries: tf.Tensor, seen: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the best candidates of each query.

        Args:
            queries: [batch, size] float32.
            seen: [batch, num_seen] int32 rows that must not be found; 0: none.
            k: int32 scalar.

        Returns:
            [batch, min(k, num_rows - 1)] float32 scores, best first, and int32 rows; where fewer are left,
            EXCLUDED and 0.
        """
        scores = queries @ tf.transpose(self.embeddings)
        return best_rows(exclude(scores, seen), k)


def exclude(scores: tf.Tensor, seen: tf.Tensor) -> tf.Tensor:
    """Sets the scores of [batch, num_seen] rows, and of row 0, to EXCLUDED."""
    batch = tf.shape(seen)[0]
    seen = tf.pad(seen, ((0, 0), (0, 1)))
    places = tf.stack([tf.broadcast_to(tf.range(batch)[:, None], tf.shape(seen)), seen], axis=-1)
    return tf.tensor_scatter_nd_update(scores, places, tf.fill(tf.shape(seen), EXCLUDED))


def best_rows(scores: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Scores and rows of the k best of [batch, num_rows] scores."""
    best, rows = tf.math.top_k(scores, tf.minimum(k, tf.maximum(tf.shape(scores)[1] - 1, 0)))
    return best, tf.where(best > EXCLUDED, rows, 0)
