"""The model that trains: query tower, candidate tower and their loss."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_recommenders as tfrs

from homefeed.models.retrieval.towers import candidate_tower, query_tower, replicas, softmax

FARTHEST = 2**30  # Seconds before the latest that times are told apart: 34 years.
ROWS_AT_A_TIME = 16_384  # Of a catalogue that is embedded whole.

Tensors = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class ColdStart:
    """How training simulates cold starts.

    In a share of the windows each query is asked as of a model that was trained `seconds` before: items first
    seen since then are known by their features alone. So the scores of cold-start items are learnt among those of
    known ones.

    Attributes:
        share: of the windows.
        seconds: age of the imagined model.
        start: Unix seconds; before, too little has been seen to call anything new.
    """

    share: float
    seconds: int
    start: int


class TwoTower(tfrs.Model):
    """Scores an item by the inner product of query and candidate embedding, plus the item's bias.

    Args:
        query_tower, candidate_tower: the towers.
        candidates: the candidate tower's input for every row of the catalogue.
        train_counts: [num_rows] interactions in training; items without any never are negatives, or they
            would be pushed down for ever.
        target_shares: [num_rows] of training's targets: how likely a target is each item.
        first_seen: [num_rows] int64 Unix seconds of an item's first interaction in training, the largest int64 where
            there is none. Before it, the item is no negative: a new release is to be compared with what it really
            competes with.
        cold_start: how cold starts are simulated.
        max_events, max_softmax_items, num_sampled: see Hyperparameters.
    """

    def __init__(
        self,
        query_tower: query_tower.QueryTower,
        candidate_tower: candidate_tower.CandidateTower,
        candidates: Mapping[str, npt.NDArray[Any]],
        train_counts: npt.NDArray[Any],
        target_shares: npt.NDArray[Any],
        first_seen: npt.NDArray[Any],
        max_events: int,
        max_softmax_items: int,
        num_sampled: int,
        cold_start: ColdStart,
    ):
        super().__init__()
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self._candidates = {name: tf.constant(column) for name, column in candidates.items()}
        trained = np.flatnonzero(train_counts)
        trained = trained[trained > 0]
        self.is_trained = np.asarray(train_counts > 0)
        self._trained = tf.constant(trained, tf.int32)
        seen = first_seen[first_seen < np.iinfo(np.int64).max]
        self._begin = max(int(seen.min()), int(seen.max()) - FARTHEST) if len(seen) else 0
        self._first_seen = self._seconds(first_seen)
        self._target_shares = tf.constant(target_shares, tf.float32)
        self._is_sampled = len(trained) > max_softmax_items
        self._num_sampled = num_sampled
        self.max_events = max_events
        self.num_rows = len(train_counts)
        self._cold_start = cold_start

    def _seconds(self, times: npt.NDArray[np.int64] | tf.Tensor) -> tf.Tensor:
        """Unix seconds as int32, which only need comparing with each other: what is compared is large.

        Placeholders such as 1900 count as the earliest of those that int32 can tell from the latest.
        """
        return tf.cast(tf.clip_by_value(times, self._begin, self._begin + tf.int32.max) - self._begin, tf.int32)

    @property
    def item_tables(self) -> list[tf.Variable]:
        """Tables with a row for each trained item, of which a step of the sampled softmax reads a few; else none."""
        return [self.candidate_tower.ids, self.candidate_tower.id_bias] if self._is_sampled else []

    def embed_candidates(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Embeds [n] int32 rows of the catalogue; see CandidateTower."""
        inputs = {name: tf.gather(column, rows) for name, column in self._candidates.items()}
        return self.candidate_tower(inputs)

    def embed_queries(self, batch: Tensors, embedding: tf.Tensor, training: bool = False) -> tf.Tensor:
        """A batch of Windows and its items' embeddings → [batch, 1 + length, width + 1], the last 1."""
        return embed_queries(self.query_tower, batch, embedding, training)

    def embed_all(self) -> tf.Tensor:
        """[num_rows, width + 1] float32 embeddings of the whole catalogue, the bias last; row 0 is all zero."""
        known, new = self.embed_both()
        embeddings = tf.where(self._candidates["id"][:, None] > 0, known, new)
        return embeddings * tf.cast(tf.range(self.num_rows) > 0, tf.float32)[:, None]

    def embed_both(self) -> tuple[tf.Tensor, tf.Tensor]:
        """`embed_candidates` of the whole catalogue: what an item's tokens are embedded to is held for some rows."""
        starts = range(0, self.num_rows, ROWS_AT_A_TIME)
        rows = [tf.range(start, min(start + ROWS_AT_A_TIME, self.num_rows)) for start in starts]
        known, new = zip(*map(self.embed_candidates, rows), strict=True)
        return tf.concat(known, axis=0), tf.concat(new, axis=0)

    @functools.cached_property
    def embed_last(self) -> Callable[[Tensors, tf.Tensor], tf.Tensor]:
        """`_embed_last`, traced once for every shape."""
        return tf.function(self._embed_last, autograph=False)

    def _embed_last(self, batch: Tensors, candidates: tf.Tensor) -> tf.Tensor:
        """[batch, width + 1] float32 query embeddings after the last event of each window."""
        embedding = tf.gather(candidates, batch["item"])[..., : self.query_tower.width]
        queries = self.embed_queries(batch, embedding)
        return tf.gather(queries, query_tower.num_events(batch["item"]), batch_dims=1)

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        """Mean softmax cross-entropy of the batch's targets."""
        if self._is_sampled:
            drawn = tf.random.uniform([self._num_sampled], maxval=tf.size(self._trained), dtype=tf.int32)
            return self.sampled_loss(inputs, tf.gather(self._trained, drawn), training)
        return self._full_loss(inputs, training)

    def _full_loss(self, batch: Tensors, training: bool) -> tf.Tensor:
        """Over all trained items but those that the window has already had."""
        rows = tf.concat([[0], self._trained], axis=0)
        index_of = tf.scatter_nd(rows[:, None], tf.range(tf.size(rows)), [self.num_rows])
        return self._loss(batch, rows, tf.gather(index_of, batch["item"]), tf.zeros(tf.shape(rows)), training)

    def sampled_loss(self, batch: Tensors, sampled: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Over what the other windows of the batch had and uniform negatives: Mixed Negative Sampling (Yang 2020).

        Args:
            batch: as Windows gives it.
            sampled: [num_sampled] int32 rows of trained items, each as likely as any other.
            training: whether to drop out.
        """
        flat, others = tf.reshape(batch["item"], [-1]), [batch[name] for name in (replicas.OTHERS,) if name in batch]
        rows, index = tf.unique(tf.concat([[0], flat, *others, sampled], axis=0))
        item, of_others = index[1 : 1 + tf.size(flat)], index[1 + tf.size(flat) :]
        item = tf.reshape(item, tf.shape(batch["item"]))
        is_target = batch["weight"] > 0
        draws = tf.concat([tf.boolean_mask(item, is_target), of_others], axis=0)
        drawn = tf.math.bincount(draws, minlength=tf.size(rows), dtype=tf.float32)
        expected = self._expected(rows, is_target, tf.size(draws) - tf.size(sampled), tf.size(sampled))
        return self._loss(batch, rows, item, log_q(drawn, expected), training)

    def _expected(
        self, rows: tf.Tensor, is_target: tf.Tensor, num_targets: tf.Tensor, num_sampled: tf.Tensor
    ) -> tf.Tensor:
        """[num_candidates] float32: how often each is drawn on average for a window, whose own are no draws."""
        num_windows = tf.math.count_nonzero(tf.reduce_any(is_target, axis=1))
        of_a_window = tf.math.count_nonzero(is_target) / tf.maximum(num_windows, 1)
        of_others = tf.cast(num_targets, tf.float32) - tf.cast(of_a_window, tf.float32)
        uniform = tf.cast(num_sampled / tf.size(self._trained), tf.float32)
        return of_others * tf.gather(self._target_shares, rows) + uniform

    def _loss(
        self, batch: Tensors, rows: tf.Tensor, item: tf.Tensor, correction: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Among some rows of the catalogue.

        Args:
            batch: as Windows gives it.
            rows: [num_candidates] int32, each once, the first 0.
            item: [batch, length] int32, which of them the batch's items are.
            correction: [num_candidates] float32; see softmax.Candidates.
            training: whether to drop out.
        """
        known, new = self.embed_candidates(rows)
        width = self.query_tower.width
        queries = self.embed_queries(batch, tf.gather(known, item)[..., :width], training)[:, :-1]
        candidates = softmax.Candidates(known, new, tf.gather(self._first_seen, rows), correction)
        targets, num_simulated = self._targets(batch, queries, item)
        total = softmax.cross_entropy(targets, candidates, num_simulated)
        return replicas.by_weight(total, batch["weight"])

    def _targets(self, batch: Tensors, queries: tf.Tensor, item: tf.Tensor) -> tuple[softmax.Targets, tf.Tensor]:
        """What has a weight, window by window, and how many of it are in windows that simulate cold starts.

        Args:
            batch: as Windows gives it.
            queries: [batch, length, width + 1] float32.
            item: [batch, length] int32 candidates.
        """
        places = tf.where(batch["weight"] > 0)
        window, place = places[:, 0], places[:, 1]
        own, of_window = tf.gather_nd(item, places), tf.gather(item, window)
        now = self._seconds(tf.gather_nd(batch["timestamp"], places))
        is_late = now >= self._seconds(tf.constant(self._cold_start.start, tf.int64))
        # What a window has later is drawn with its targets for sure, not by chance: it is no sample of the catalogue.
        is_none = (tf.range(tf.shape(item)[1], dtype=tf.int64) < place[:, None]) | self._is_sampled
        targets = softmax.Targets(
            tf.gather_nd(queries, places),
            own,
            tf.where(is_none & (of_window != own[:, None]), of_window, 0),
            now,
            tf.where(is_late, now - min(self._cold_start.seconds, FARTHEST), tf.int32.max),
            tf.gather_nd(batch["weight"], places),
        )
        num_windows = replicas.count_of_first(self._cold_start.share, tf.shape(item)[0])
        return targets, tf.math.count_nonzero(window < tf.cast(num_windows, tf.int64), dtype=tf.int32)


def log_q(drawn: tf.Tensor, expected: tf.Tensor) -> tf.Tensor:
    """[num_candidates] float32: what lets a sum over draws stand for one over the catalogue (logQ, Yi et al. 2019).

    Args:
        drawn: [num_candidates] float32, how often each was; one that never was is no candidate.
        expected: [num_candidates] float32, how often each is on average.
    """
    return tf.where(drawn > 0, tf.math.log(drawn / expected), softmax.CLOSED)


def embed_queries(
    tower: query_tower.QueryTower, batch: Tensors, embedding: tf.Tensor, training: bool = False
) -> tf.Tensor:
    """As TwoTower.embed_queries."""
    user = {k.removeprefix("user_"): v for k, v in batch.items() if k.startswith("user_")}
    states = tower({**batch, "embedding": embedding}, user, training=training)
    return tf.concat([states, tf.ones_like(states[:, :, :1])], axis=-1)
