"""Trains the ranker, first without and then with BERT, and fits what is fitted on eval."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking import bert as berts
from homefeed.models.ranking import blend as blends
from homefeed.models.ranking import examples, losses, optimizers, requests, text_affinity
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.sequences import Sequences

Floats = npt.NDArray[np.float64]

_MAX_EVAL_MOMENTS = 2000
_MAX_EVAL_TARGETS = 64
_HELD_OUT = 0.2  # Share of a user's events that are targets under `targets: any`.


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One pass: the weighted sum of the losses in training and on eval, and each part of it on eval."""

    with_text: bool
    train_loss: float
    eval_loss: float
    eval_list: float
    eval_positive: float
    eval_rating: float


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained ranker and what was fitted on eval.

    Attributes:
        ranker: the model.
        blend: of the order of a list.
        calibration: of P(positive).
        epochs: passes of training.
        text_losses: of `TextAffinity` on eval in nats, before and after each of its passes.
    """

    ranker: Ranker
    blend: blends.Blend
    calibration: blends.Calibration
    epochs: tuple[Epoch, ...]
    text_losses: tuple[float, ...] = ()

    @property
    def with_text(self) -> bool:
        """Whether BERT needs to read the user: where text did not help on eval, nothing listens to it."""
        return self.ranker.listens


def fit(
    ranker: Ranker,
    catalogue: Catalogue,
    train: Sequences,
    evaluation: Sequences,
    retrieve: examples.Retrieve,
    config: Hyperparameters,
    log: Callable[[Epoch], None] = lambda epoch: None,
    teacher: Ranker | None = None,
    start: Callable[[Ranker], object] | None = None,
) -> Trained:
    """Trains `ranker` in place.

    Args:
        ranker: fresh, its BERT pre-trained.
        catalogue: the items.
        train: what it learns from.
        evaluation: what decides when to stop, how far to trust retrieval, and calibration.
        retrieve: what the retrieval model returns.
        config: rates and lengths.
        log: called after each epoch.
        teacher: trained; what `ranker` should agree with while BERT trains.
        start: called with `ranker` once all its weights exist, which it may set.
    """
    rng = np.random.default_rng(config.seed)
    source = _source(train, retrieve, config, rng)
    held_out = _held_out(evaluation, retrieve, config)
    if start:
        which = np.arange(min(1, len(held_out)))
        ranker(_Trainer._tensors(examples.batch(held_out, which, config, np.random.default_rng(0))))
        start(ranker)
    berts.choose_trainable(ranker.bert, config.fine_tune, config.last_n, config.lora_rank)
    ranker.read_items()
    liked = train.positive[train.targets]
    trainer = _Trainer(ranker, config, float(liked.mean()) if len(liked) else 1.0, teacher)
    epochs: list[Epoch] = []
    for with_text, num_epochs in ((False, config.epochs_without_text), (True, config.epochs_with_text)):
        epochs += trainer.run(source, held_out, with_text, num_epochs, rng, log)
    berts.merge_lora(ranker.bert)
    if config.epochs_with_text and config.fine_tune != "head":
        ranker.read_items()  # By the BERT that is exported: it will read new items as it read these.
    text_losses: tuple[float, ...] = ()
    if config.list_weight:
        text_losses = text_affinity.fit(ranker, catalogue, train, evaluation, config.seed)
    return Trained(ranker, *_fit_on_eval(ranker, held_out, config), tuple(epochs), text_losses)


def _source(
    train: Sequences, retrieve: examples.Retrieve, config: Hyperparameters, rng: np.random.Generator
) -> Callable[[], examples.Labelled]:
    """Gives an epoch's training requests."""

    def coming() -> examples.Labelled:
        moments = requests.random_moments(train, config.moments_per_user, rng)
        return examples.Labelled(train, moments, *retrieve(train, moments, config.num_candidates), True)

    def held() -> examples.Labelled:
        sequences = examples.hold_out(train, _HELD_OUT, rng)
        return examples.unlisted(sequences, requests.first_targets(sequences), config.num_candidates, True)

    return coming if config.targets == "next" else held


def _held_out(evaluation: Sequences, retrieve: examples.Retrieve, config: Hyperparameters) -> examples.Labelled:
    if config.targets == "any":
        moments = requests.first_targets(evaluation)
        return examples.unlisted(evaluation, moments, config.num_candidates, False)
    moments = requests.thinned(requests.every_target(evaluation), _MAX_EVAL_MOMENTS)
    return examples.Labelled(evaluation, moments, *retrieve(evaluation, moments, config.num_candidates), False)


class _Trainer:
    """Steps, early stopping and the best weights."""

    def __init__(self, ranker: Ranker, config: Hyperparameters, positive_share: float, teacher: Ranker | None):
        self._ranker = ranker
        self._config = config
        self._positive_share = positive_share
        self._teacher = teacher

    def run(
        self,
        source: Callable[[], examples.Labelled],
        held_out: examples.Labelled,
        with_text: bool,
        num_epochs: int,
        rng: np.random.Generator,
        log: Callable[[Epoch], None],
    ) -> list[Epoch]:
        config = self._config
        if not num_epochs:
            return []
        labelled = source()
        first = self._tensors(next(self._batches(labelled, config, rng)))
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
            train_loss = float(np.mean([step(self._tensors(b)) for b in self._batches(labelled, config, rng)]))
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
            target = (batch["value"] - ranker.rating_mean) / ranker.rating_deviation
            known = tf.cast(tf.math.is_finite(target), tf.float32)
            rating = losses.squared_error(outputs["ratings"], target, known)
        total = config.list_weight * listwise + config.positive_weight * positive + config.rating_weight * rating
        if training and with_text and self._teacher is not None:
            taught = self._teacher(batch, with_text=True)["list_logits"]
            present = batch["candidates"] > 0
            total += config.distil_weight * losses.distillation(outputs["list_logits"], taught, present)
        return [total, listwise, positive, rating]

    def _evaluate(self, evaluate: Any, held_out: examples.Labelled) -> tuple[float, ...]:
        if not len(held_out):
            return (float("inf"), 0.0, 0.0, 0.0)
        config = _eval_config(self._config)
        rng = np.random.default_rng(config.seed)
        parts = [
            [float(value) for value in evaluate(self._tensors(batch))]
            for batch in self._batches(held_out, config, rng, shuffle=False)
        ]
        return tuple(np.mean(parts, axis=0).tolist())

    def _batches(
        self, labelled: examples.Labelled, config: Hyperparameters, rng: np.random.Generator, shuffle: bool = True
    ) -> Iterator[examples.Arrays]:
        order = rng.permutation(len(labelled)) if shuffle else np.arange(len(labelled))
        if shuffle:  # Batches of one size: the last is filled up from the first.
            order = np.resize(order, -(-len(order) // config.batch_size) * config.batch_size)
        for start in range(0, len(order), config.batch_size):
            yield examples.batch(labelled, order[start : start + config.batch_size], config, rng)

    @staticmethod
    def _tensors(batch: examples.Arrays) -> dict[str, tf.Tensor]:
        return {name: tf.convert_to_tensor(array) for name, array in batch.items()}


def _eval_config(config: Hyperparameters) -> Hyperparameters:
    """As in serving: all candidates, and under `next` the event that comes."""
    return dataclasses.replace(
        config,
        num_targets=1 if config.targets == "next" else _MAX_EVAL_TARGETS,
        num_listed=1,
        num_negatives=config.num_candidates,
        batch_size=128,
    )


def _fit_on_eval(
    ranker: Ranker, held_out: examples.Labelled, config: Hyperparameters
) -> tuple[blends.Blend, blends.Calibration]:
    if not len(held_out):
        return blends.Blend(), blends.Calibration()
    score = tf.function(lambda batch: ranker(batch, with_text=ranker.listens), reduce_retracing=True)
    eval_config = _eval_config(config)
    rng = np.random.default_rng(config.seed)
    logits, text_logits, targets, positive_logits, positives = [], [], [], [], []
    for start in range(0, len(held_out), eval_config.batch_size):
        which = np.arange(start, min(start + eval_config.batch_size, len(held_out)))
        batch = examples.batch(held_out, which, eval_config, rng)
        num_targets = eval_config.num_targets
        happened = batch["candidates"][:, :num_targets]
        batch["candidates"] = np.concatenate([happened, held_out.retrieved[which]], 1)
        outputs = score(_Trainer._tensors(batch))
        logits.append(outputs["list_logits"].numpy()[:, num_targets:])
        text_logits.append(outputs["text_logits"].numpy()[:, num_targets:])
        targets.append(happened[:, 0])
        known = batch["is_event"][:, :num_targets] > 0
        positive_logits.append(outputs["positive_logits"].numpy()[:, :num_targets][known])
        positives.append(batch["positive"][:, :num_targets][known])
    place = (held_out.retrieved == np.concatenate(targets)[:, None]) & (held_out.retrieved > 0)
    present = held_out.retrieved > 0
    blend = blends.fit_blend(
        blends.standardise(held_out.retrieval_scores, present),
        np.concatenate(logits).astype(np.float64),
        np.concatenate(text_logits).astype(np.float64),
        np.where(place.any(1), place.argmax(1), -1),
        present,
    )
    calibration = blends.fit_calibration(
        np.concatenate(positive_logits).astype(np.float64),
        np.concatenate(positives).astype(np.float64),
        config.calibration,
    )
    return blend, calibration


def _copy(variables: list[Any]) -> list[npt.NDArray[Any]]:
    return [np.array(variable) for variable in variables]


def predict(trained: Trained, sequences: Sequences) -> tuple[Floats, Floats, Floats, Floats]:
    """P(positive) and rating of every event of a split, each user asked once, with the history before the split.

    Returns:
        [num_targets] float64 each: probability, rating (NaN where the data has none), whether it was positive,
        and its value.
    """
    ranker, calibration = trained.ranker, trained.calibration
    moments = requests.first_targets(sequences)
    longest = int((sequences.row_splits[1:] - sequences.row_splits[:-1] - sequences.num_history).max(initial=1))
    config = dataclasses.replace(ranker.config, num_targets=longest, num_negatives=0)
    asked = examples.unlisted(sequences, moments, 1, False)
    score = tf.function(lambda batch: ranker(batch, with_text=trained.with_text), reduce_retracing=True)
    columns: list[list[npt.NDArray[Any]]] = [[np.empty(0)] for _ in range(4)]
    for start in range(0, len(moments), 64):
        which = np.arange(start, min(start + 64, len(moments)))
        batch = examples.batch(asked, which, config, np.random.default_rng(0))
        outputs = score(_Trainer._tensors(batch))
        known = batch["is_event"] > 0
        logits = outputs["positive_logits"].numpy()[known].astype(np.float64)
        rating = outputs["ratings"].numpy()[known] if ranker.has_ratings else np.full(len(logits), np.nan)
        columns[0].append(1 / (1 + np.exp(-(calibration.slope * logits + calibration.offset))))
        columns[1].append(np.clip(ranker.rating_mean + ranker.rating_deviation * rating, *ranker.rating_range))
        columns[2].append(batch["positive"][known])
        columns[3].append(batch["value"][known])
    probability, rating, positive, value = (np.concatenate(column).astype(np.float64) for column in columns)
    return probability, rating, positive, value
