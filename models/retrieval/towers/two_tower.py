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

from homefeed.models.retrieval.towers import candidate_tower, full_softmax, query_tower, replicas

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
        first_seen: [num_rows] int64 Unix seconds of an item's first interaction in training. Before it, the
            item is no negative: a new release is to be compared with what it really competes with.
        cold_start: how cold starts are simulated.
        max_events, max_softmax_items, num_sampled: see Hyperparameters.
    """

    def __init__(
        self,
        query_tower: query_tower.QueryTower,
        candidate_tower: candidate_tower.CandidateTower,
        candidates: Mapping[str, npt.NDArray[Any]],
        train_counts: npt.NDArray[Any],
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
        self._first_seen = tf.constant(first_seen[trained])
        self._first_seen_of_row = tf.constant(first_seen)
        self._probability = tf.constant(train_counts / max(train_counts.sum(), 1), tf.float32)
        self._is_sampled = len(trained) > max_softmax_items
        self._num_sampled = num_sampled
        self.max_events = max_events
        self.num_rows = len(train_counts)
        self._cold_start = cold_start
        # The task asks for the `len` of a tensor, which a graph that was traced without autograph cannot say: so it
        # is a function of its own, with autograph.
        self._task = tf.function(
            tfrs.tasks.Retrieval(
                loss=tf.keras.losses.CategoricalCrossentropy(
                    from_logits=True, reduction=tf.keras.losses.Reduction.SUM
                ),
                remove_accidental_hits=True,
            )
        )

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
        return self._softmax_loss(inputs, training)

    def _softmax_loss(self, batch: Tensors, training: bool) -> tf.Tensor:
        """Over all trained items but those that the window has already had."""
        rows = tf.concat([[0], self._trained], axis=0)
        known, new = self.embed_candidates(rows)
        index_of = tf.scatter_nd(rows[:, None], tf.range(tf.shape(rows)[0]), [self.num_rows])
        item = tf.gather(index_of, batch["item"])
        width = self.query_tower.width
        queries = self.embed_queries(batch, tf.gather(known, item)[..., :width], training)[:, :-1]
        # As int32: times only need comparing with times, and what is compared is large.
        start = tf.reduce_min(self._first_seen)
        first_seen = tf.cast(tf.pad(self._first_seen - start, ((1, 0),)), tf.int32)
        targets, num_simulated = self._targets(batch, queries, item, start)
        total = full_softmax.cross_entropy(targets, known, new, first_seen, num_simulated)
        return replicas.by_weight(total, batch["weight"])

    def _targets(
        self, batch: Tensors, queries: tf.Tensor, item: tf.Tensor, start: tf.Tensor
    ) -> tuple[full_softmax.Targets, tf.Tensor]:
        """What has a weight, window by window, and how many of it are in windows that simulate cold starts.

        Args:
            batch: as Windows gives it.
            queries: [batch, length, width + 1] float32.
            item: [batch, length] int32 candidates.
            start: [] int64 Unix seconds that times are counted from.
        """
        places = tf.where(batch["weight"] > 0)
        window, place = places[:, 0], places[:, 1]
        now = tf.cast(tf.gather_nd(batch["timestamp"], places) - start, tf.int32)
        is_late = now >= tf.cast(self._cold_start.start - start, tf.int32)
        is_before = tf.range(tf.shape(item)[1], dtype=tf.int64) < place[:, None]
        targets = full_softmax.Targets(
            tf.gather_nd(queries, places),
            tf.gather_nd(item, places),
            tf.where(is_before, tf.gather(item, window), 0),
            now,
            tf.where(is_late, now - tf.cast(self._cold_start.seconds, tf.int32), tf.int32.max),
            tf.gather_nd(batch["weight"], places),
        )
        num_windows = replicas.count_of_first(self._cold_start.share, tf.shape(item)[0])
        return targets, tf.math.count_nonzero(window < tf.cast(num_windows, tf.int64), dtype=tf.int32)

    def sampled_loss(self, batch: Tensors, sampled: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Over the whole batch's targets and uniform negatives, corrected by how often each is drawn.

        The correction is Yi et al. 2019 (Sampling-Bias-Corrected Neural Modeling), the mixture Yang et al.
        2020 (Mixed Negative Sampling).

        Args:
            batch: as Windows gives it.
            sampled: [num_sampled] int32 rows of trained items, each as likely as any other.
            training: whether to drop out.
        """
        flat, others = tf.reshape(batch["item"], [-1]), [batch[name] for name in (replicas.OTHERS,) if name in batch]
        rows, index = tf.unique(tf.concat([flat, *others, sampled], axis=0))
        candidates, _ = self.embed_candidates(rows)
        item = tf.reshape(index[: tf.size(flat)], tf.shape(batch["item"]))
        width = self.query_tower.width
        queries = self.embed_queries(batch, tf.gather(candidates, item)[..., :width], training)[:, :-1]
        is_target = batch["weight"] > 0
        targets = tf.boolean_mask(batch["item"], is_target)
        ids = tf.concat([targets, *others, sampled], axis=0)
        num_targets = tf.cast(tf.size(ids) - tf.size(sampled), tf.float32)
        uniform = tf.cast(tf.size(sampled) / tf.size(self._trained), tf.float32)
        expected = num_targets * tf.gather(self._probability, ids) + uniform
        weight = tf.boolean_mask(batch["weight"], is_target)
        now = tf.boolean_mask(batch["timestamp"], is_target)
        loss = self._task(
            tf.boolean_mask(queries, is_target),
            tf.gather(candidates, tf.concat([tf.boolean_mask(item, is_target), index[tf.size(flat) :]], axis=0)),
            sample_weight=weight,
            # The task cuts what is beyond 1, as popular items are; a factor that all share changes no softmax.
            candidate_sampling_probability=expected / tf.reduce_max(expected),
            candidate_ids=ids,
            # As in the full softmax: before its first interaction an item is no negative.
            score_mask=tf.gather(self._first_seen_of_row, ids)[None, :] <= now[:, None],
            compute_metrics=False,
        )
        return replicas.by_weight(loss, weight)


def embed_queries(
    tower: query_tower.QueryTower, batch: Tensors, embedding: tf.Tensor, training: bool = False
) -> tf.Tensor:
    """As TwoTower.embed_queries."""
    user = {k.removeprefix("user_"): v for k, v in batch.items() if k.startswith("user_")}
    states = tower({**batch, "embedding": embedding}, user, training=training)
    return tf.concat([states, tf.ones_like(states[:, :, :1])], axis=-1)
