"""ScaNN behind the same interface, for use inside a Python process."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.retrieval.index import exact_index


class ScannIndex:
    """Guo et al. 2020, Accelerating Large-Scale Inference with Anisotropic Vector Quantization.

    For batch jobs and as a yardstick. It is no `tf.Module`, and no exported model ever holds it: a stock
    TensorFlow Serving has no kernel for it. Needs the extra `homefeed[scann]`.

    Args:
        embeddings: [num_rows, size] float32; row 0 is never found.
        num_leaves, num_probes: partitions in all and scored for a query; 0: as ScaNN's documentation advises.
        num_reordered: candidates that are scored again without quantisation.

    Raises:
        ImportError: ScaNN is not installed.
    """

    def __init__(
        self,
        embeddings: npt.NDArray[np.float32],
        num_leaves: int = 0,
        num_probes: int = 0,
        num_reordered: int = 500,
    ):
        try:
            from scann import scann_ops_pybind
        except ImportError as error:
            raise ImportError("ScaNN is not installed: pip install 'homefeed[scann]'") from error
        self._embeddings = embeddings
        num_candidates = len(embeddings) - 1
        num_leaves = num_leaves or max(1, round(math.sqrt(num_candidates)))
        num_probes = num_probes or max(1, num_leaves // 20)
        builder = scann_ops_pybind.builder(embeddings[1:], 100, "dot_product")
        builder = builder.tree(num_leaves, num_probes, training_sample_size=min(num_candidates, 250_000))
        builder = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(num_reordered)
        self._searcher = builder.build()

    def embed(self, rows: tf.Tensor) -> tf.Tensor:
        """As ExactIndex.embed."""
        return tf.gather(self._embeddings, rows)

    def scores(self, queries: tf.Tensor) -> tf.Tensor:
        """As ExactIndex.scores: of every row, without ScaNN."""
        return tf.matmul(queries, self._embeddings, transpose_b=True)

    def search(self, queries: tf.Tensor, seen: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As ExactIndex.search, approximately; eager only."""
        k = min(int(k), len(self._embeddings) - 1)
        reach = min(k + seen.shape[1], len(self._embeddings) - 1)
        found, scores = self._searcher.search_batched(np.asarray(queries), final_num_neighbors=reach)
        rows = tf.constant(np.asarray(found).astype(np.int32) + 1)
        is_seen = tf.reduce_any(rows[:, :, None] == seen[:, None, :], axis=2)
        best, kept = tf.math.top_k(tf.where(is_seen, exact_index.EXCLUDED, np.asarray(scores)), k)
        return best, tf.where(best > exact_index.EXCLUDED, tf.gather(rows, kept, batch_dims=1), 0)
