"""Trains `TextAffinity` of a ranker: what came next, among all items that training knows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking.examples import prediction_points
from homefeed.models.ranking.examples.prediction_points import PredictionPoints
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.training import optimizers
from homefeed.models.sequences import Sequences

_MAX_PASSES = 30
_PATIENCE = 4  # Passes without a better result on eval.
_POINTS = 10_000  # Of a pass, at most, drawn anew each time.
_EVAL_POINTS = 2_000
_ROWS = 4096  # Items that what came next is told apart from, at most.
_BATCH = 256
_LEARNING_RATE = 3e-3


def fit(
    ranker: Ranker, catalogue: Catalogue, train: Sequences, evaluation: Sequences, seed: int
) -> tuple[float, ...]:
    """Trains a ranker's `TextAffinity` by itself; its other weights stay.

    The likelihood of what came next among all items that training knows (or a sample of them), given how often each
    is picked anyway: what is popular is for others to say. The pass that is best on eval is kept.

    Args:
        ranker: has read its items.
        catalogue: the items.
        train: what is learnt from.
        evaluation: what decides when to stop.
        seed: of what is drawn.

    Returns:
        The loss on eval in nats, before and after each pass; nothing where there is nothing to learn from.
    """
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(catalogue.train_counts)
    points, held_out = (_usable(split, known) for split in (train, evaluation))
    if not len(points) or not len(held_out):
        return ()
    trainer = AffinityTrainer(ranker, catalogue, known, -(-min(len(points), _POINTS) // _BATCH))
    held_out = prediction_points.thinned(held_out, _EVAL_POINTS)
    sample = trainer.sample(rng)
    judged = [trainer.inputs(evaluation, held_out[at : at + _BATCH]) for at in range(0, len(held_out), _BATCH)]

    def on_eval() -> float:
        losses = [float(trainer.evaluate(request, picked, *sample)) for request, picked in judged]
        return float(np.average(losses, weights=[len(picked) for _, picked in judged]))

    kernels = ranker.text_affinity.kernels
    curve, best = [on_eval()], [np.array(kernel) for kernel in kernels]
    while len(curve) <= _MAX_PASSES and len(curve) - int(np.argmin(curve)) <= _PATIENCE:
        drawn = points[rng.permutation(len(points))[:_POINTS]]
        for at in range(0, len(drawn), _BATCH):
            trainer.step(*trainer.inputs(train, drawn[at : at + _BATCH]), *trainer.sample(rng))
        curve.append(on_eval())
        if np.argmin(curve) == len(curve) - 1:
            best = [np.array(kernel) for kernel in kernels]
    for kernel, value in zip(kernels, best, strict=True):
        kernel.assign(value)
    return tuple(curve)


class AffinityTrainer:
    """The loss, and steps of the optimiser."""

    def __init__(self, ranker: Ranker, catalogue: Catalogue, known: npt.NDArray[np.int64], steps: int):
        self._ranker = ranker
        self._known = known
        self._counts = catalogue.train_counts[known]
        self._popularity = np.log(np.maximum(catalogue.train_counts, 1)).astype(np.float32)
        self._kernels = ranker.text_affinity.kernels
        self._optimizer = optimizers.adamw(_LEARNING_RATE, steps * _MAX_PASSES)
        self._optimizer.build(self._kernels)
        self.evaluate = tf.function(self._loss, reduce_retracing=True)
        self.step = tf.function(self._step, reduce_retracing=True)

    def inputs(self, sequences: Sequences, points: PredictionPoints) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """What a request would give, and the row of what came next."""
        features = prediction_points.features(sequences, points, self._ranker.config.max_events)
        names: list[str] = [name for name in ("recent_items", "query_token_ids") if name in features]
        request = {name: tf.constant(features[name]) for name in names}
        return request, tf.constant(sequences.item_index[points.cut])

    def sample(self, rng: np.random.Generator) -> tuple[tf.Tensor, tf.Tensor]:
        """Items that what came next is told apart from: rows and what is added to their logits, [num_rows] each.

        A sample is drawn as items are picked, so that the sum over it stands for the sum over all.
        """
        if len(self._known) <= _ROWS:
            return tf.constant(self._known, tf.int32), tf.gather(self._popularity, self._known)
        total = self._counts.sum()
        rows = rng.choice(self._known, _ROWS, p=self._counts / total)
        return tf.constant(rows, tf.int32), tf.fill([_ROWS], tf.constant(np.log(total / _ROWS), tf.float32))

    def _loss(
        self,
        request: Mapping[str, tf.Tensor],
        picked: tf.Tensor,
        rows: tf.Tensor,
        weights: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        offered = tf.concat([rows, picked], 0)
        added = tf.concat([weights, tf.gather(self._popularity, picked)], 0)
        logits = self._ranker.affinity(request, self._ranker.items.texts(offered)[None], training) + added
        num_rows = tf.shape(rows)[0]
        mine = tf.linalg.diag_part(logits[:, num_rows:])
        others = tf.where(rows == picked[:, None], -1e9, logits[:, :num_rows])
        return tf.reduce_mean(tf.nn.softplus(tf.reduce_logsumexp(others, axis=1) - mine))

    def _step(self, request: Mapping[str, tf.Tensor], picked: tf.Tensor, rows: tf.Tensor, weights: tf.Tensor) -> None:
        values = [variable.value for variable in self._kernels]
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = self._loss(request, picked, rows, weights, training=True)
        self._optimizer.apply(tape.gradient(loss, values), self._kernels)


def _usable(sequences: Sequences, known: npt.NDArray[np.int64]) -> PredictionPoints:
    """The points before the events with items that training knows."""
    points = prediction_points.every_target(sequences)
    return points[np.flatnonzero(np.isin(sequences.item_index[points.cut], known))]
