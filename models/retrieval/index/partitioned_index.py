"""Approximate top-k in TensorFlow's own ops: scores the candidates of the best-matching partitions only."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.retrieval.index import exact_index
from homefeed.models.shared.gathering import gather_rows

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

PARTITIONS_PER_ROOT = 4  # Partitions, in square roots of the number of candidates.
LONGEST = 3  # Lists, in even shares: a longer one is cut, which bounds the time of a probe.
SAMPLE_PER_PARTITION = 32  # Candidates that k-means learns from.
ITERATIONS = 6
RECALL = 0.97  # Of the exact 100 best, for the queries by which the number of probes is chosen.
CUT_OFF = 100
_CHUNK = 10_000  # Vectors in memory with all their digits.
HEAD = 1 / 4  # Of the coordinates, by which it is chosen who is scored by all of them:
AGAIN, AT_LEAST = 3, 300  # so many for each that is wanted, and at least so many; see `choose_probes`.


class PartitionedIndex(tf.Module):
    """An inverted file (Jégou et al. 2011, without the quantisation): approximately the answers of ExactIndex.

    Candidates lie side by side with those of their k-means partition, so that a probed list is read in one go. They
    are turned to their principal axes, which changes no inner product: the first quarter of the coordinates tells
    who can be among the best, and only these are scored by the others, too. Nothing is padded or stored twice: the
    table takes 1.03 times what the plain one does.

    Args:
        embeddings: [num_rows, size] float32; row 0 is never found.
        available_from: as in ExactIndex.
        num_partitions: 0: PARTITIONS_PER_ROOT times the square root of the number of candidates.
        num_probes: partitions scored for a query; see `choose_probes`.
        seed: of k-means.
    """

    def __init__(
        self,
        embeddings: Floats,
        available_from: npt.NDArray[np.int64] | None = None,
        num_partitions: int = 0,
        num_probes: int = 16,
        seed: int = 0,
    ):
        super().__init__(name="partitioned_index")
        num_candidates = len(embeddings) - 1
        num_partitions = num_partitions or math.ceil(PARTITIONS_PER_ROOT * math.sqrt(max(num_candidates, 1)))
        centroids, order, starts = partition(embeddings[1:], num_partitions, seed)
        rows = np.concatenate([[0], order + 1]).astype(np.int32)  # Row 0 is at place 0, and in no list.
        places = np.empty_like(rows)
        places[rows] = np.arange(len(rows), dtype=np.int32)
        self._centroids = tf.Variable(centroids, trainable=False, name="centroids")
        self._starts = tf.Variable(starts + 1, trainable=False, name="starts")
        self._rows = tf.Variable(rows, trainable=False, name="rows")
        self._places = tf.Variable(places, trainable=False, name="places")
        axes = principal_axes(embeddings[1:])
        turned, head = embeddings[rows] @ axes, math.ceil(HEAD * len(axes))
        self._axes = tf.Variable(axes, trainable=False, name="axes")
        self._heads = tf.Variable(turned[:, :head], trainable=False, name="candidates")
        self._tails = tf.Variable(turned[:, head:], trainable=False, name="candidates_tails")
        self._again = tf.Variable(AGAIN, trainable=False, name="again")
        self._num_probes = tf.Variable(min(num_probes, len(centroids)), trainable=False, name="num_probes")
        self._available_from = None
        if available_from is not None:
            self._available_from = tf.Variable(available_from[rows], trainable=False, name="available_from")

    @property
    def num_partitions(self) -> int:
        """Number of lists that the candidates are divided into."""
        return int(self._centroids.shape[0])

    @property
    def num_probes(self) -> int:
        """Partitions scored for a query."""
        return int(self._num_probes)

    def choose_probes(self, queries: Floats, recall: float = RECALL) -> float:
        """Sets the fewest probes, to a tenth, that find the share `recall` of the exact best, on average.

        Where all of them find less, since few coordinates tell little, more is scored by all coordinates.

        Args:
            queries: [num_queries, size] float32, as those that will be asked; a few hundred are enough.
            recall: share of the CUT_OFF best that scoring everything finds.

        Returns:
            The share that is found with the probes chosen.
        """
        seen = tf.zeros((1, 1), tf.int32)
        wanted = [
            exact_index.best_rows(exact_index.exclude(self.scores(tf.constant(query[None])), seen), CUT_OFF)[1][0]
            for query in queries
        ]
        search = tf.function(self.search, autograph=False)

        def found(num_probes: int) -> float:
            self._num_probes.assign(num_probes)
            shares = []
            for query, best in zip(queries, wanted, strict=True):
                _, rows = search(tf.constant(query[None]), seen, tf.constant(CUT_OFF))
                best = best[best > 0]
                shares.append(np.isin(best, rows[0]).mean() if len(best) else 1.0)
            return float(np.mean(shares)) if shares else 1.0

        too_few, enough = 0, 1
        while (share := found(enough)) < recall and enough < self.num_partitions:
            too_few, enough = enough, min(2 * enough, self.num_partitions)
        everyone = self._rows.shape[0]  # Then nothing is left to few coordinates.
        while share < recall and CUT_OFF * self._again < everyone:
            self._again.assign(2 * self._again)
            share = found(enough)
        while enough - too_few > max(1, too_few // 10):
            middle = (too_few + enough) // 2
            too_few, enough = (too_few, middle) if found(middle) >= recall else (middle, enough)
        return found(enough)

    def embed(self, rows: tf.Tensor) -> tf.Tensor:
        """As ExactIndex.embed, to the sixth digit."""
        places = gather_rows(self._places, rows)
        turned = tf.concat([gather_rows(self._heads, places), gather_rows(self._tails, places)], axis=-1)
        return tf.tensordot(turned, self._axes, [[-1], [1]])

    def scores(self, queries: tf.Tensor) -> tf.Tensor:
        """As ExactIndex.scores: of every row, without probing."""
        head, tail = self._turn(queries)
        scores = tf.matmul(head, self._heads, transpose_b=True) + tf.matmul(tail, self._tails, transpose_b=True)
        return tf.gather(scores, self._places, axis=1)

    def _turn(self, queries: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """[batch, size] → the queries' coordinates on the first axes, and on the others."""
        turned, head = tf.matmul(queries, self._axes), self._heads.shape[1]
        return turned[:, :head], turned[:, head:]

    def search(
        self, queries: tf.Tensor, seen: tf.Tensor, k: tf.Tensor, now: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """As ExactIndex.search, but among the probed partitions; places that these cannot fill stay empty."""
        k = tf.minimum(k, tf.shape(self._rows)[0] - 1)
        now = tf.zeros_like(queries[:, 0], tf.int64) if now is None else now
        seen = tf.sort(seen, axis=1)
        looked_at = tf.maximum(self._again * k, AT_LEAST * self._again // AGAIN)

        def search_one(inputs: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
            query, head, tail, had, time = inputs
            places = self._probe(query)
            scores = tf.linalg.matvec(gather_rows(self._heads, places), head)
            if self._available_from is not None:
                available = exact_index.is_available(gather_rows(self._available_from, places), time)
                scores = tf.where(available, scores, exact_index.EXCLUDED)
            # What was seen may take the first places, so that many more are looked up. Place 0 fills up.
            reach = looked_at + tf.size(had)
            lacking = tf.maximum(reach - tf.size(places), 0)
            scores = tf.pad(scores, [[0, lacking]], constant_values=exact_index.EXCLUDED)
            scores, found = tf.math.top_k(scores, reach)
            places = tf.gather(tf.pad(places, [[0, lacking]]), found)
            rest = tf.linalg.matvec(gather_rows(self._tails, places), tail)
            scores = tf.where(scores > exact_index.EXCLUDED, scores + rest, exact_index.EXCLUDED)
            rows = gather_rows(self._rows, places)
            scores, kept = tf.math.top_k(tf.where(_is_among(rows, had), exact_index.EXCLUDED, scores), k)
            return scores, tf.where(scores > exact_index.EXCLUDED, tf.gather(rows, kept), 0)

        # One query at a time: a probed list is then still in the processor's cache when it is scored.
        inputs = (queries, *self._turn(queries), seen, now)
        return tf.map_fn(search_one, inputs, fn_output_signature=(tf.float32, tf.int32))

    def _probe(self, query: tf.Tensor) -> tf.Tensor:
        """[size] float32 → the places of all candidates in the partitions that promise most."""
        _, probes = tf.math.top_k(tf.linalg.matvec(self._centroids, query), self._num_probes)
        starts = gather_rows(self._starts, probes)
        return tf.ragged.range(starts, gather_rows(self._starts, probes + 1)).flat_values


def _is_among(rows: tf.Tensor, ascending: tf.Tensor) -> tf.Tensor:
    """[n] int32 and [m] ascending int32 → [n] bool; costs n log m, so that a long history is no burden."""
    ascending = tf.concat([[-1], ascending], axis=0)
    return tf.gather(ascending, tf.searchsorted(ascending, rows, side="right") - 1) == rows


def principal_axes(vectors: Floats) -> Floats:
    """[size, size] float32, an orthogonal matrix: the axes of the vectors' inner products, the longest first."""
    squares = np.zeros((vectors.shape[1], vectors.shape[1]))
    for start in range(0, len(vectors), _CHUNK):
        chunk = vectors[start : start + _CHUNK].astype(np.float64)
        chunk = chunk[np.isfinite(chunk).all(axis=1)]
        squares += chunk.T @ chunk
    return np.linalg.eigh(squares)[1][:, ::-1].astype(np.float32)


def partition(vectors: Floats, num_partitions: int, seed: int) -> tuple[Floats, Ints, Ints]:
    """Groups candidates that the same queries want.

    The vectors get one more dimension that makes them all equally long: nearest by distance is then largest by
    inner product (Bachrach et al. 2014), and so long vectors share partitions that any query finds.

    Returns:
        [num_lists, size] float32 centroids, without that dimension; [num_vectors] int32 positions of vectors,
        list by list; and [num_lists + 1] int32, where each list begins. A partition of more than LONGEST even
        shares is cut into several lists.
    """
    if not len(vectors):
        return np.zeros((1, vectors.shape[1]), np.float32), np.empty(0, np.int32), np.zeros(2, np.int32)
    num_partitions = max(1, min(num_partitions, len(vectors)))
    squared = (vectors**2).sum(axis=1)
    extra = np.sqrt(np.maximum(squared.max() - squared, 0))
    points = np.concatenate([vectors, extra[:, None]], axis=1)
    centroids = _k_means(points, num_partitions, np.random.default_rng(seed))
    nearest = _nearest(points, centroids)
    longest = math.ceil(LONGEST * len(vectors) / num_partitions)
    order = np.argsort(nearest, kind="stable").astype(np.int32)
    counts = np.bincount(nearest, minlength=num_partitions)
    firsts = np.cumsum(counts) - counts
    starts = np.concatenate(
        [np.arange(first, first + count, longest) for first, count in zip(firsts, counts, strict=True)]
    )
    sizes = np.diff(np.append(starts, len(vectors)))
    means = np.add.reduceat(vectors[order], starts, axis=0) / sizes[:, None].astype(np.float32)
    return means.astype(np.float32), order, np.append(starts, len(vectors)).astype(np.int32)


def _k_means(points: Floats, num_partitions: int, generator: np.random.Generator) -> Floats:
    size = min(len(points), SAMPLE_PER_PARTITION * num_partitions)
    sample = points[generator.choice(len(points), size, replace=False)]
    centroids = sample[:num_partitions].copy()
    for _ in range(ITERATIONS):
        nearest = _nearest(sample, centroids)
        counts = np.bincount(nearest, minlength=num_partitions)
        order = np.argsort(nearest, kind="stable")
        occupied = np.flatnonzero(counts)
        starts = np.concatenate([[0], np.cumsum(counts[occupied])[:-1]])
        sums = np.add.reduceat(sample[order], starts, axis=0)
        centroids[occupied] = sums / counts[occupied, None].astype(np.float32)
        empty = np.flatnonzero(counts == 0)
        centroids[empty] = sample[generator.choice(size, len(empty), replace=False)]
    return centroids


def _nearest(points: Floats, centroids: Floats) -> Ints:
    """[num_points] int32 nearest centroids."""
    half = 0.5 * (centroids**2).sum(axis=1)
    parts = []
    for chunk in np.array_split(points, max(1, len(points) // 4096)):
        closeness = chunk @ centroids.T
        closeness -= half
        parts.append(closeness.argmax(axis=1))
    return np.concatenate(parts).astype(np.int32)
