"""Top-k by scoring only the partitions that look promising, in stock TensorFlow ops."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from models.retrieval import exact_index

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

SLACK = 1.25  # Places a partition holds, beside an even share: bounds both memory and the time of a probe.
SAMPLE_PER_PARTITION = 64  # Candidates that k-means learns from.
ITERATIONS = 10
CHOICES = 8  # Nearest partitions that a candidate may fall into before it goes wherever there is room.


class PartitionedIndex(tf.Module):
    """An inverted file (Jégou et al. 2011, without the quantisation): the same answers as ExactIndex, mostly.

    Candidates lie in equally large, padded lists, one a k-means partition, so that a probe is one contiguous
    gather. Choose `num_probes` by measuring recall against ExactIndex.

    Args:
        embeddings: [num_rows, size] float32; row 0 is never found.
        num_partitions: about the square root of the number of candidates.
        num_probes: partitions scored for a query.
        seed: of k-means.
    """

    def __init__(self, embeddings: Floats, num_partitions: int, num_probes: int, seed: int = 0):
        super().__init__(name="partitioned_index")
        centroids, members = partition(embeddings[1:], num_partitions, seed)
        self._num_probes = min(num_probes, len(centroids))
        rows = np.where(members >= 0, members + 1, 0).astype(np.int32)
        self._centroids = tf.Variable(centroids, trainable=False, name="centroids")
        self._rows = tf.Variable(rows, trainable=False, name="rows")
        self._vectors = tf.Variable(embeddings[rows], trainable=False, name="vectors")

    def search(self, queries: tf.Tensor, seen: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As ExactIndex.search; k is cut to what the probed partitions hold."""
        seen = tf.pad(seen, ((0, 0), (0, 1)))
        places = self._num_probes * self._rows.shape[1]
        k = tf.minimum(k, places)
        # What is seen may take the first places, so that many more are looked up.
        reach = tf.minimum(k + tf.shape(seen)[1], places)

        def search_one(inputs: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            query, had = inputs
            _, probes = tf.math.top_k(tf.linalg.matvec(self._centroids, query), self._num_probes)
            rows = tf.reshape(tf.gather(self._rows, probes), [-1])
            vectors = tf.reshape(tf.gather(self._vectors, probes), [-1, self._vectors.shape[2]])
            scores = tf.where(rows > 0, tf.linalg.matvec(vectors, query), exact_index.EXCLUDED)
            scores, found = tf.math.top_k(scores, reach)
            rows = tf.gather(rows, found)
            is_seen = tf.reduce_any(rows[:, None] == had[None, :], axis=1)
            scores, kept = tf.math.top_k(tf.where(is_seen, exact_index.EXCLUDED, scores), k)
            return scores, tf.where(scores > exact_index.EXCLUDED, tf.gather(rows, kept), 0)

        # One query at a time: a probed list is then still in the processor's cache when it is scored.
        return tf.map_fn(search_one, (queries, seen), fn_output_signature=(tf.float32, tf.int32))


def partition(vectors: Floats, num_partitions: int, seed: int) -> tuple[Floats, Ints]:
    """Groups candidates that the same queries want.

    The vectors get one more dimension that makes them all equally long: nearest by distance is then largest by
    inner product (Bachrach et al. 2014), and so long vectors share partitions that any query finds.

    Returns:
        [num_partitions, size] float32 centroids, without that dimension, and [num_partitions, capacity] int32
        positions of vectors, -1 where a list ends.
    """
    num_partitions = max(1, min(num_partitions, len(vectors)))
    capacity = max(1, math.ceil(SLACK * len(vectors) / num_partitions))
    squared = (vectors**2).sum(axis=1)
    extra = np.sqrt(np.maximum(squared.max(initial=0) - squared, 0))
    points = np.concatenate([vectors, extra[:, None]], axis=1)
    centroids = _k_means(points, num_partitions, np.random.default_rng(seed))
    choices = _nearest(points, centroids, min(CHOICES, num_partitions))
    return centroids[:, :-1], _fill(choices, num_partitions, capacity)


def _k_means(points: Floats, num_partitions: int, generator: np.random.Generator) -> Floats:
    if not len(points):
        return np.zeros((1, points.shape[1]), np.float32)
    size = min(len(points), SAMPLE_PER_PARTITION * num_partitions)
    sample = points[generator.choice(len(points), size, replace=False)]
    centroids = sample[:num_partitions].copy()
    for _ in range(ITERATIONS):
        nearest = _nearest(sample, centroids, 1)[:, 0]
        counts = np.bincount(nearest, minlength=num_partitions)
        order = np.argsort(nearest, kind="stable")
        occupied = np.flatnonzero(counts)
        starts = np.concatenate([[0], np.cumsum(counts[occupied])[:-1]])
        centroids[occupied] = np.add.reduceat(sample[order], starts, axis=0) / counts[occupied, None]
        empty = np.flatnonzero(counts == 0)
        centroids[empty] = sample[generator.choice(size, len(empty), replace=False)]
    return centroids


def _nearest(points: Floats, centroids: Floats, count: int) -> Ints:
    """[num_points, count] int32 nearest centroids, nearest first."""
    half = 0.5 * (centroids**2).sum(axis=1)
    parts = []
    for chunk in np.array_split(points, max(1, len(points) // 8192)):
        closeness = chunk @ centroids.T - half
        if count == 1:
            parts.append(closeness.argmax(axis=1)[:, None])
            continue
        best = np.argpartition(-closeness, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(closeness, best, axis=1), axis=1)
        parts.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(parts).astype(np.int32)


def _fill(choices: Ints, num_partitions: int, capacity: int) -> Ints:
    """Lists of at most `capacity`: first choices while there is room, then second ones, then anywhere."""
    members = np.full((num_partitions, capacity), -1, np.int32)
    counts = np.zeros(num_partitions, np.int64)
    waiting = np.arange(len(choices))
    for choice in range(choices.shape[1] + 1):
        if choice < choices.shape[1]:
            wanted = choices[waiting, choice]
        else:
            wanted = np.repeat(np.arange(num_partitions), capacity - counts)[: len(waiting)]
        order = np.argsort(wanted, kind="stable")
        waiting, wanted = waiting[order], wanted[order]
        place = counts[wanted] + np.arange(len(wanted)) - np.searchsorted(wanted, wanted)
        fits = place < capacity
        members[wanted[fits], place[fits]] = waiting[fits]
        counts += np.bincount(wanted[fits], minlength=num_partitions)
        waiting = waiting[~fits]
    return members
