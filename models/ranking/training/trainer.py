"""Passes over training requests: steps, early stopping and the best weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.ranking.examples.labelled_points import Arrays, LabelledPoints, make_batch, tensors
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.training import losses, optimizers

_MAX_EVAL_TARGETS = 64


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One pass: the weighted sum of the losses in training and on eval, and each part of it on eval."""

    with_text: bool
    train_loss: float
    eval_loss: float
    eval_list: float
    eval_positive: float
    eval_rating: float

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
        teacher: trained; what `ranker` should agree with while BERT trains.
    """

    def __init__(self, ranker: Ranker, config: Hyperparameters, positive_share: float, teacher: Ranker | None):
        self._ranker = ranker
        self._config = config
        self._positive_share = positive_share
        self._teacher = teacher

    def run(
        self,
        source: Callable[[], LabelledPoints],
        held_out: LabelledPoints,
        with_text: bool,
        num_epochs: int,
        rng: np.random.Generator,
        log: Callable[[Epoch], None],
    ) -> list[Epoch]:
        """Several passes; the weights of the one that is best on eval are kept.

        Args:
            source: gives the points of a pass.
            held_out: points of the eval split.
            with_text: whether BERT is asked, and trains.
            num_epochs: passes at most.
            rng: where chance comes from.
            log: called after each pass.
        """
        config = self._config
        if not num_epochs:
            return []
        labelled = source()
        first = tensors(next(self._batches(labelled, config, rng)))
        self._ranker(first, with_text=with_text)
        steps = -(-len(labelled) // config.batch_size) * num_epochs
        groups = self._groups(with_text, steps)
        variables = [variable for group, _ in groups for variable in group]
        step = tf.function(lambda batch: self._step(batch, groups, with_text), reduce_retracing=True)
        evaluate = tf.function(lambda batch: self._losses(batch, with_text, False), reduce_retracing=True)
        best, best_weights, waited = self._evaluate(evaluate, held_out)[0], _copy(variables), 0
        epochs = []
        for number in range(num_epochs):
            labelled = source() if number else labelled
            train_loss = float(np.mean([step(tensors(b)) for b in self._batches(labelled, config, rng)]))
            if with_text and config.fine_tune != "head":
                self._ranker.read_items()
            eval_losses = self._evaluate(evaluate, held_out)
            epochs.append(Epoch(with_text, train_loss, *eval_losses))
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

    def _groups(self, with_text: bool, steps: int) -> list[tuple[list[Any], Any]]:
        """What trains, each group with its optimiser: what listens to BERT, what has learnt already, and BERT."""
        config, ranker = self._config, self._ranker
        of_bert = {id(variable) for variable in ranker.bert.variables}
        of_text = {id(variable) for variable in ranker.text_variables}
        others = [v for v in ranker.trainable_variables if id(v) not in of_bert]
        groups = [([v for v in others if id(v) in of_text], config.learning_rate)] if with_text else []
        kept = config.learning_rate * (config.rate_with_text if with_text and config.epochs_without_text else 1.0)
        groups.append(([v for v in others if id(v) not in of_text], kept))
        if with_text and ranker.bert.trainable_variables:
            groups.append((ranker.bert.trainable_variables, config.bert_learning_rate))
        built = []
        for variables, learning_rate in groups:
            optimizer = optimizers.adamw(
                learning_rate, steps, config.weight_decay, accumulated=config.accumulated_steps
            )
            optimizer.build(variables)
            built.append((variables, optimizer))
        return built

    def _step(self, batch: dict[str, tf.Tensor], groups: list[tuple[list[Any], Any]], with_text: bool) -> tf.Tensor:
        sources = [[variable.value for variable in variables] for variables, _ in groups]
        loss, gradients = self._gradients(batch, sources, with_text)
        if with_text and self._config.adversarial:
            gradients = tf.nest.map_structure(tf.add, gradients, self._after_worst_step(batch, sources))
        for (variables, optimizer), group in zip(groups, gradients, strict=True):
            optimizer.apply(group, variables)
        return loss

    def _gradients(
        self, batch: dict[str, tf.Tensor], sources: list[Any], with_text: bool
    ) -> tuple[tf.Tensor, list[Any]]:
        with tf.GradientTape() as tape:
            tape.watch(sources)
            loss = self._losses(batch, with_text, True)[0]
        gradients = tape.gradient(loss, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return loss, tf.nest.map_structure(tf.convert_to_tensor, gradients)

    def _after_worst_step(self, batch: dict[str, tf.Tensor], sources: list[Any]) -> list[Any]:
        """Gradients where the word vectors are moved the way that hurts most (Miyato et al., 2017; FGM)."""
        words = self._ranker.bert.token_embedding.embeddings.value
        _, (uphill,) = self._gradients(batch, [words], True)
        step = self._config.adversarial * uphill / (tf.norm(uphill) + 1e-12)
        words.assign_add(step)
        _, gradients = self._gradients(batch, sources, True)
        words.assign_sub(step)
        return gradients

    def _losses(self, batch: dict[str, tf.Tensor], with_text: bool, training: bool) -> list[tf.Tensor]:
        """Weighted sum, listwise, P(positive), rating."""
        config, ranker = self._config, self._ranker
        outputs = ranker(batch, with_text=with_text, training=training)
        listwise = losses.listwise_softmax(outputs["list_logits"], batch["relevance"], batch["irrelevant"])
        judged = batch["is_event"]
        if self._positive_share == 1:  # Nobody disliked anything: what was not chosen stands for it.
            judged += tf.cast(batch["irrelevant"], tf.float32)
        elif config.balance_classes and self._positive_share > 0:
            judged *= losses.class_weights(batch["positive"], self._positive_share)
        positive = losses.binary_cross_entropy(outputs["positive_logits"], batch["positive"], judged)
        rating = tf.constant(0.0)
        if ranker.has_ratings:
            known = tf.cast(tf.math.is_finite(batch["value"]), tf.float32)
            rating = losses.squared_error(outputs["ratings"], ranker.scale.standardised(batch["value"]), known)
        total = config.list_weight * listwise + config.positive_weight * positive + config.rating_weight * rating
        if training and with_text and self._teacher is not None:
            taught = self._teacher(batch, with_text=True)["list_logits"]
            present = batch["candidates"] > 0
            total += config.distil_weight * losses.distillation(outputs["list_logits"], taught, present)
        return [total, listwise, positive, rating]

    def _evaluate(self, evaluate: Any, held_out: LabelledPoints) -> tuple[float, ...]:
        if not len(held_out):
            return (float("inf"), 0.0, 0.0, 0.0)
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
