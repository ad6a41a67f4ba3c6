"""Top-k by scoring every candidate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.catalogue import NEVER
from homefeed.models.shared.gathering import gather_rows

EXCLUDED = np.finfo(np.float32).min  # Score of a candidate that must not be returned.


class ExactIndex(tf.Module):
    """Inner products with all candidates: right for small catalogues, and the yardstick of other indexes.

    Args:
        embeddings: [num_rows, size] float32; row 0 is never found.
        available_from: [num_rows] int64 Unix seconds, ALWAYS where nothing is said, NEVER of what is
            never found; None: nothing is said.
    """

    def __init__(self, embeddings: npt.NDArray[np.float32], available_from: npt.NDArray[np.int64] | None = None):
        super().__init__(name="exact_index")
        self._embeddings = tf.Variable(embeddings, trainable=False, name="candidates")
        self._available_from = None
        if available_from is not None:
            self._available_from = tf.Variable(available_from, trainable=False, name="available_from")

    def embed(self, rows: tf.Tensor) -> tf.Tensor:
        """[...] int32 rows → [..., size] float32 embeddings."""
        return gather_rows(self._embeddings, rows)

    def scores(self, queries: tf.Tensor) -> tf.Tensor:
        """[batch, size] float32 queries → [batch, num_rows] float32 inner products with every row."""
        return tf.matmul(queries, self._embeddings, transpose_b=True)

    def search(
        self, queries: tf.Tensor, seen: tf.Tensor, k: tf.Tensor, now: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the best candidates of each query.

        Args:
            queries: [batch, size] float32.
            seen: [batch, num_seen] int32 rows that must not be found; 0: none.
            k: int32 scalar.
            now: [batch] int64 Unix seconds, of which what is not available yet is not found; 0: unknown,
                and None: everything but NEVER is available.

        Returns:
            [batch, min(k, num_rows - 1)] float32 scores, best first, and int32 rows; where fewer are left,
            EXCLUDED and 0.
        """
        scores = self.scores(queries)
        if self._available_from is not None:
            now = tf.zeros_like(queries[:, 0], tf.int64) if now is None else now
            scores = tf.where(is_available(self._available_from, now[:, None]), scores, EXCLUDED)
        return best_rows(exclude(scores, seen), k)


def is_available(available_from: tf.Tensor, now: tf.Tensor) -> tf.Tensor:
    """Whether what is there from `available_from` on is there `now`; both int64, 0 for an unknown now."""
    return (available_from <= now) | ((now == 0) & (available_from != NEVER))


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
