"""Passes over training requests: steps, early stopping and the best weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.exposures import MAX_POSITIONS
from homefeed.models.ranking.examples.labelled_points import Arrays, LabelledPoints, make_batch, tensors
from homefeed.models.ranking.examples.shown_points import ShownPoints, make_shown_batch
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.training import losses
from homefeed.models.ranking.training.learner import Learner

_MAX_EVAL_TARGETS = 64
SHOWN = "shown"  # The part of a batch that is of impressions.


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One pass: the weighted sum of the losses in training and on eval, and each part of it on eval; 0: not there."""

    train_loss: float
    eval_loss: float
    eval_list: float
    eval_positive: float
    eval_rating: float
    eval_types: float = 0.0
    eval_shown: float = 0.0

    @property
    def training_loss(self) -> float:
        """As `TrainingLog` asks."""
        return self.train_loss

    @property
    def quality(self) -> float:
        """As `TrainingLog` asks."""
        return -self.eval_loss

    @property
    def figure(self) -> str:
        """As `TrainingLog` asks."""
        return f"loss {self.eval_loss:.4f}"


class Trainer:
    """Trains a ranker in place.

    Args:
        ranker: its weights may change.
        config: rates and lengths.
        positive_share: of the training split's events, of those that count as liked.
    """

    def __init__(self, ranker: Ranker, config: Hyperparameters, positive_share: float):
        self._ranker = ranker
        self._config = config
        self._positive_share = positive_share
        self._position_bias = keras.Variable(np.zeros(MAX_POSITIONS + 1, np.float32), name="position_bias")

    def run(
        self,
        source: Callable[[], LabelledPoints],
        held_out: LabelledPoints,
        rng: np.random.Generator,
        log: Callable[[Epoch], None],
        shown: ShownPoints | None = None,
        shown_held_out: ShownPoints | None = None,
    ) -> list[Epoch]:
        """Several passes; the weights of the one that is best on eval are kept.

        Args:
            source: gives the points of a pass.
            held_out: points of the eval split.
            rng: where chance comes from.
            log: called after each pass.
            shown: impressions of training; as many are learnt from as points.
            shown_held_out: impressions of the eval split.
        """
        config = self._config
        labelled = source()
        self._ranker(tensors(next(self._batches(labelled, config, rng))))
        steps = -(-len(labelled) // config.batch_size) * config.epochs
        variables = [*self._ranker.trainable_variables, *([] if shown is None else [self._position_bias])]
        learner = Learner(variables, self._ranker.items.ids, config, steps)
        step = tf.function(lambda batch: learner.step(self._loss, batch), reduce_retracing=True)
        evaluate = tf.function(lambda batch: self._losses(batch, False), reduce_retracing=True)
        evaluate_shown = tf.function(lambda batch: self._shown_loss(batch, False), reduce_retracing=True)

        def on_eval() -> tuple[float, ...]:
            total, *parts = self._evaluate(evaluate, held_out)
            if shown is None or shown_held_out is None:
                return total, *parts
            of_shown = self._evaluate_shown(evaluate_shown, shown_held_out)
            return total + config.exposure_weight * of_shown, *parts, of_shown

        best, best_weights, waited = on_eval()[0], _copy(variables), 0
        epochs = []
        for number in range(config.epochs):
            labelled = source() if number else labelled
            batches = self._with_shown(self._batches(labelled, config, rng), shown, rng)
            train_loss = float(np.mean([step(batch) for batch in batches]))
            eval_losses = on_eval()
            epochs.append(Epoch(train_loss, *eval_losses))
            log(epochs[-1])
            if len(held_out) and not eval_losses[0] < best:
                waited += 1
                if waited >= config.patience:
                    break
            else:
                best, best_weights, waited = eval_losses[0], _copy(variables), 0
        for variable, value in zip(variables, best_weights, strict=True):
            variable.assign(value)
        return epochs

    def _loss(self, batch: dict[str, Any]) -> tf.Tensor:
        """What a step of training lowers."""
        loss = self._losses({name: value for name, value in batch.items() if name != SHOWN}, True)[0]
        if SHOWN in batch:
            loss += self._config.exposure_weight * self._shown_loss(batch[SHOWN], True)
        return loss

    def _losses(self, batch: dict[str, tf.Tensor], training: bool) -> list[tf.Tensor]:
        """Weighted sum, listwise, P(positive), rating, P(types)."""
        config, ranker = self._config, self._ranker
        outputs = ranker(batch, training=training)
        listwise = losses.listwise_softmax(outputs["list_logits"], batch["relevance"], batch["irrelevant"])
        judged = batch["is_event"]
        if self._positive_share == 1:  # Nobody disliked anything: what was not chosen stands for it.
            judged += tf.cast(batch["irrelevant"], tf.float32)
        positive = losses.binary_cross_entropy(outputs["positive_logits"], batch["positive"], judged)
        rating = tf.constant(0.0)
        if ranker.has_ratings:
            known = tf.cast(tf.math.is_finite(batch["value"]), tf.float32)
            rating = losses.squared_error(outputs["ratings"], ranker.scale.standardised(batch["value"]), known)
        types = losses.binary_cross_entropy(outputs["type_logits"], batch["types"], batch["is_event"][..., None])
        return [config.list_weight * listwise + positive + rating + types, listwise, positive, rating, types]

    def _shown_loss(self, batch: dict[str, tf.Tensor], training: bool) -> tf.Tensor:
        """Listwise, of what was taken against what was left of an impression.

        Whether somebody looked at a place adds to the logit of what stood there, as in the additive towers of Yan et
        al., 2022, "Revisiting two-tower models for unbiased learning to rank"; what is exported knows no places.
        """
        logits = self._ranker(batch, training=training)["list_logits"]
        logits += tf.gather(self._position_bias.value, batch["position"]) + batch["log_weight"]
        return losses.listwise_softmax(logits, batch["relevance"], batch["irrelevant"])

    def _with_shown(
        self, batches: Iterator[Arrays], shown: ShownPoints | None, rng: np.random.Generator
    ) -> Iterator[dict[str, Any]]:
        """Each batch beside one of as many impressions, which come in a random order, again and again."""
        order = np.empty(0, np.int64)
        for batch in batches:
            if shown is None:
                yield tensors(batch)
                continue
            while len(order) < self._config.batch_size:
                order = np.concatenate([order, rng.permutation(len(shown))])
            which, order = np.split(order, [self._config.batch_size])
            yield tensors(batch) | {SHOWN: tensors(make_shown_batch(shown, which, self._config, rng))}

    def _evaluate_shown(self, evaluate: Any, shown: ShownPoints) -> float:
        config = eval_config(self._config)
        rng = np.random.default_rng(config.seed)
        wholes = dataclasses.replace(config, num_targets=_MAX_EVAL_TARGETS)
        starts = range(0, len(shown), config.batch_size)
        parts = (np.arange(start, min(start + config.batch_size, len(shown))) for start in starts)
        return float(np.mean([evaluate(tensors(make_shown_batch(shown, part, wholes, rng))) for part in parts]))

    def _evaluate(self, evaluate: Any, held_out: LabelledPoints) -> tuple[float, ...]:
        if not len(held_out):
            return (float("inf"), 0.0, 0.0, 0.0, 0.0)
        config = eval_config(self._config)
        rng = np.random.default_rng(config.seed)
        parts = [
            [float(value) for value in evaluate(tensors(batch))]
            for batch in self._batches(held_out, config, rng, shuffle=False)
        ]
        return tuple(np.mean(parts, axis=0).tolist())

    def _batches(
        self, labelled: LabelledPoints, config: Hyperparameters, rng: np.random.Generator, shuffle: bool = True
    ) -> Iterator[Arrays]:
        order = rng.permutation(len(labelled)) if shuffle else np.arange(len(labelled))
        if shuffle:  # Batches of one size: the last is filled up from the first.
            order = np.resize(order, -(-len(order) // config.batch_size) * config.batch_size)
        for start in range(0, len(order), config.batch_size):
            yield make_batch(labelled, order[start : start + config.batch_size], config, rng)


def eval_config(config: Hyperparameters) -> Hyperparameters:
    """As in serving: all candidates, and under `next` the event that comes."""
    return dataclasses.replace(
        config,
        num_targets=1 if config.targets == "next" else _MAX_EVAL_TARGETS,
        num_listed=1,
        num_negatives=config.num_retrieved,
        batch_size=128,
    )


def _copy(variables: list[Any]) -> list[npt.NDArray[Any]]:
    return [np.array(variable) for variable in variables]
