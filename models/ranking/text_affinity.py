"""Which texts follow which: BERT's reading of an item beside that of what the user did and asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking import optimizers, requests
from homefeed.models.sequences import Sequences

if TYPE_CHECKING:
    from homefeed.models.ranking.ranker import Ranker

_SIZE = 16
_DROPOUT = 0.1
_MAX_PASSES = 30
_PATIENCE = 4  # Passes without a better result on eval.
_MOMENTS = 10_000  # Of a pass, at most, drawn anew each time.
_EVAL_MOMENTS = 2_000
_ROWS = 4096  # Items that what came next is told apart from, at most.
_BATCH = 256
_LEARNING_RATE = 3e-3


class TextAffinity(keras.layers.Layer):
    """The inner product of learnt projections: one for each context of a request, and one for candidates' texts.

    Two towers in small (Huang et al., 2013, DSSM). All that they read comes from BERT, so that an item nobody has had
    yet is judged like the others, and a query finds items that say the same in other words. Untrained it gives 0;
    `fit` trains it, apart from the ranker's other weights.

    Args:
        contexts: their names.
        width: of BERT.
    """

    def __init__(self, contexts: Sequence[str], width: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.width = width
        self._contexts = {name: self._kernel(name, keras.initializers.Zeros()) for name in contexts}
        self._candidates = self._kernel("candidates", keras.initializers.GlorotUniform(seed=0))
        self._dropout = keras.layers.Dropout(_DROPOUT, seed=0)
        self.built = True

    @property
    def kernels(self) -> list[Any]:
        """What is learnt."""
        return [*self._contexts.values(), self._candidates]

    def call(self, inputs: tuple[Mapping[str, tf.Tensor], tf.Tensor], training: bool = False) -> tf.Tensor:
        """How well candidates suit.

        Args:
            inputs: each context [batch, width] float32, 0 where there is none; and BERT's readings of candidates
                [batch or 1, num_candidates, width] float32.
            training: whether dropout acts.

        Returns:
            [batch, num_candidates] float32, in nats.
        """
        contexts, texts = inputs
        projected = [
            tf.matmul(self._dropout(contexts[name], training=training), kernel.value)
            for name, kernel in self._contexts.items()
        ]
        wanted = tf.add_n(projected)
        offered = tf.tensordot(self._dropout(texts, training=training), self._candidates.value, 1)
        if texts.shape[0] == 1:  # The same candidates for everybody: one product.
            return tf.matmul(wanted, offered[0], transpose_b=True)
        return tf.linalg.matvec(offered, wanted)

    def _kernel(self, name: str, initializer: Any) -> Any:
        # Not among what the ranker trains; learnt anew even where training goes on from an earlier model.
        shape = (self.width, _SIZE)
        return self.add_weight(name=f"{name}_kernel", shape=shape, initializer=initializer, trainable=False)


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
    moments, held_out = (_usable(split, known) for split in (train, evaluation))
    if not len(moments) or not len(held_out):
        return ()
    trainer = _Trainer(ranker, catalogue, known, -(-min(len(moments), _MOMENTS) // _BATCH))
    held_out = requests.thinned(held_out, _EVAL_MOMENTS)
    sample = trainer.sample(rng)
    judged = [trainer.inputs(evaluation, held_out[at : at + _BATCH]) for at in range(0, len(held_out), _BATCH)]

    def on_eval() -> float:
        losses = [float(trainer.evaluate(request, picked, *sample)) for request, picked in judged]
        return float(np.average(losses, weights=[len(picked) for _, picked in judged]))

    kernels = ranker.text_affinity.kernels
    curve, best = [on_eval()], [np.array(kernel) for kernel in kernels]
    while len(curve) <= _MAX_PASSES and len(curve) - int(np.argmin(curve)) <= _PATIENCE:
        drawn = moments[rng.permutation(len(moments))[:_MOMENTS]]
        for at in range(0, len(drawn), _BATCH):
            trainer.step(*trainer.inputs(train, drawn[at : at + _BATCH]), *trainer.sample(rng))
        curve.append(on_eval())
        if np.argmin(curve) == len(curve) - 1:
            best = [np.array(kernel) for kernel in kernels]
    for kernel, value in zip(kernels, best, strict=True):
        kernel.assign(value)
    return tuple(curve)


class _Trainer:
    """Steps."""

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

    def inputs(self, sequences: Sequences, moments: requests.Moments) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """What a request would give, and the row of what came next."""
        features = requests.features(sequences, moments, self._ranker.config.num_events)
        names: list[str] = [name for name in ("history", "query_token_ids") if name in features]
        request = {name: tf.constant(features[name]) for name in names}
        return request, tf.constant(sequences.item_index[moments.cut])

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


def _usable(sequences: Sequences, known: npt.NDArray[np.int64]) -> requests.Moments:
    """The moments before the events with items that training knows."""
    moments = requests.every_target(sequences)
    return moments[np.flatnonzero(np.isin(sequences.item_index[moments.cut], known))]
