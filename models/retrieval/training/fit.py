"""Fits the two towers to a training split."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models import catalogue as catalogues
from homefeed.models import sequences as sequence_module
from homefeed.models.evaluation import metrics
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.linear import blend, linear_factors
from homefeed.models.retrieval.towers import architecture, candidate_tower, two_tower
from homefeed.models.retrieval.training.windows import Windows, target_weights

Catalogue = catalogues.Catalogue
Sequences = sequence_module.Sequences

MAX_EVAL_QUERIES = 2_000  # Evenly spread over the eval split; enough to choose an epoch by.

NOVELTY_WARMUP = 0.3  # Share of the training events after which an item may be called new.

EVAL_EVERY = 2  # Epochs.
MAX_EVAL_SCORES = 50_000_000  # float32 scores that are held at a time.


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One row of the training curve."""

    epoch: int
    loss: float
    ndcg: float  # NDCG@10 on the eval split; NaN where that is empty.
    ndcg_100: float  # NDCG@100, by which epochs are chosen: it asks for the first page too, and is less noisy.
    recall: float  # Recall@100.


@dataclasses.dataclass(frozen=True)
class Trained:
    """What training makes.

    Attributes:
        towers: fitted; they embed queries.
        candidates: [num_rows, width + 1] float32 embeddings of the catalogue, for the towers' queries.
        linear: its scores are added to the towers'.
        content_maps: what it expects of an item that nobody has had.
        novelty_boost: what was added to the scores of such items, that is, to the bias in `candidates`.
        max_linear_events: the most recent events that the linear model reads.
    """

    towers: two_tower.TwoTower
    candidates: npt.NDArray[np.float32]
    linear: linear_factors.LinearFactors
    content_maps: linear_factors.ContentMaps
    novelty_boost: float
    max_linear_events: int

    def scores(self, windows: Windows, targets: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """[num_targets, num_rows] float32 scores for the histories before the target events."""
        recent = self._recent(windows, targets)
        found: npt.NDArray[np.float32] = embed_queries(self.towers, windows, targets) @ self.candidates.T
        return found + self.linear.scores(recent)

    def queries(self, windows: Windows, targets: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """[num_targets, size] float32 query embeddings, as they are served: the towers', then the linear model's."""
        linear = self.linear.queries(self._recent(windows, targets))
        return np.concatenate([embed_queries(self.towers, windows, targets), linear], axis=1)

    def _recent(self, windows: Windows, targets: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int32]]:
        return [history[-self.max_linear_events :] for history in windows.histories(targets)]


def train(
    catalogue: Catalogue,
    training: Sequences,
    evaluation: Sequences,
    config: Hyperparameters,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    start: Callable[[two_tower.TwoTower], object] = lambda _: None,
) -> Trained:
    """Fits towers and linear model to the training split; their blend, and room for new items, to the eval split.

    Args:
        catalogue, training, evaluation: the data.
        config: how.
        on_epoch: called after each epoch that was evaluated.
        start: called with the untrained towers, whose weights it may set.
    """
    with _scope(config):
        towers = fit_towers(catalogue, training, evaluation, config, on_epoch, start)
    windows = Windows(evaluation, config.max_events)
    targets = sample_targets(windows, catalogue.num_rows)
    queries = windows.histories(targets), windows.items(targets)
    decomposition = linear_factors.decompose(training, catalogue.num_rows, config.linear_rank, config.seed)
    linear = blend.fit_blend(score_known(towers, windows, targets), *queries, decomposition)
    is_new = catalogue.train_counts == 0
    _, new = towers.embed_candidates(tf.range(catalogue.num_rows))
    content = new[:, :-1].numpy()
    maps = linear.content_maps(content, is_new)
    linear = linear.for_new_items(maps, content, is_new)
    trained = Trained(towers, towers.embed_all().numpy(), linear, maps, 0.0, config.max_linear_events)
    boost = blend.fit_novelty_boost(trained.scores(windows, targets), *queries, is_new, config.novelty_price)
    trained.candidates[1:, -1] += boost * is_new[1:]
    return dataclasses.replace(trained, novelty_boost=boost)


def build(catalogue: Catalogue, train: Sequences, config: Hyperparameters) -> two_tower.TwoTower:
    """An untrained model, shaped by the training data."""
    towers = architecture.Architecture.of(catalogue, train)
    rows = candidate_tower.candidate_rows(catalogue, towers.item_spec)
    return two_tower.TwoTower(
        towers.query_tower(config),
        towers.candidate_tower(config),
        rows,
        catalogue.train_counts,
        first_seen(train, catalogue.num_rows),
        config.max_events,
        config.max_softmax_items,
        config.num_sampled,
        novelty(train.timestamp, config),
        config.num_hard_negatives,
    )


def _scope(config: Hyperparameters) -> contextlib.AbstractContextManager[object]:
    return tf.distribute.MirroredStrategy().scope() if config.strategy == "mirrored" else contextlib.nullcontext()


def fit_towers(
    catalogue: Catalogue,
    train: Sequences,
    evaluation: Sequences,
    config: Hyperparameters,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    start: Callable[[two_tower.TwoTower], object] = lambda _: None,
) -> two_tower.TwoTower:
    """Trains, and returns the model with the weights of the epoch that ranked the eval split best.

    The kept weights are running means (Polyak and Juditsky 1992). Deterministic by `config.seed`.

    Raises:
        ValueError: there is nothing to learn from, or no epoch to learn in.
    """
    if config.num_epochs < 1:
        raise ValueError(f"`num_epochs` is {config.num_epochs}, but the towers need at least 1.")
    weights = target_weights(train, config.non_positive_weight, config.event_weights, config.value_weight)
    windows = Windows(train, config.max_events, weights)
    if not len(windows.targets):
        raise ValueError(
            "The training split holds no interaction with an item of the catalogue, so there is nothing to "
            "learn from. Check the split's time range and that both tables use the same item ids."
        )
    tf.keras.utils.set_random_seed(config.seed)
    generator = np.random.default_rng(config.seed)
    model = build(catalogue, train, config)
    eval_windows = Windows(evaluation, config.max_events)
    steps_per_epoch = sum(1 for _ in windows.epoch(np.random.default_rng(0), config.batch_size))
    learner = _Learner(model, config, steps_per_epoch, start)
    best, best_epoch, best_weights = -1.0, 0, None
    for epoch in range(config.num_epochs):
        losses = [learner.step(batch) for batch in windows.epoch(generator, config.batch_size)]
        is_last = epoch == config.num_epochs - 1
        if epoch % EVAL_EVERY != EVAL_EVERY - 1 and not is_last:
            continue
        with learner.averaged():
            ranks = evaluate(model, eval_windows)
            row = _epoch(epoch, float(np.mean([loss.numpy() for loss in losses])), ranks)
            on_epoch(row)
            if math.isnan(row.ndcg_100) or row.ndcg_100 > best:
                best, best_epoch, best_weights = row.ndcg_100, epoch, model.get_weights()
        if epoch - best_epoch >= config.patience:
            break
    model.set_weights(best_weights)
    return model


def novelty(timestamp: npt.NDArray[np.int64], config: Hyperparameters) -> two_tower.Novelty:
    """Turns shares of the training data into times."""
    span = int(timestamp.max(initial=0) - timestamp.min(initial=0)) if len(timestamp) else 0
    start = int(np.quantile(timestamp, NOVELTY_WARMUP, method="nearest")) if len(timestamp) else 0
    return two_tower.Novelty(config.novelty_share, int(config.novelty_span * span), start)


def first_seen(sequences: Sequences, num_rows: int) -> npt.NDArray[np.int64]:
    """[num_rows] int64 time of each item's first event; the largest int64 where there is none."""
    earliest = np.full(num_rows, np.iinfo(np.int64).max)
    np.minimum.at(earliest, sequences.item_index, sequences.timestamp)
    return earliest


def evaluate(model: two_tower.TwoTower, windows: Windows) -> metrics.Ranks:
    """Full ranking of (a sample of) the split's targets among all trained items."""
    targets = sample_targets(windows, model.num_rows)
    scores = score_known(model, windows, targets)
    return metrics.rank_targets(scores, windows.items(targets), windows.histories(targets))


def sample_targets(windows: Windows, num_rows: int) -> npt.NDArray[np.int64]:
    """At most MAX_EVAL_QUERIES targets of a split, evenly spread, and MAX_EVAL_SCORES scores of them."""
    limit = max(1, min(MAX_EVAL_QUERIES, MAX_EVAL_SCORES // num_rows))
    return windows.targets[:: max(1, math.ceil(len(windows.targets) / limit))]


def embed_queries(
    model: two_tower.TwoTower, windows: Windows, targets: npt.NDArray[np.int64], batch_size: int = 256
) -> npt.NDArray[np.float32]:
    """[num_targets, width + 1] float32 embeddings of the histories before the target events."""
    candidates = model.embed_all()
    embed = tf.function(model.embed_last, autograph=False)
    parts = [embed(_tensors(batch), candidates).numpy() for batch in windows.queries(targets, batch_size)]
    return np.concatenate([*parts, np.empty((0, candidates.shape[1]), np.float32)])[: len(targets)]


def score_queries(
    model: two_tower.TwoTower, windows: Windows, targets: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """[num_targets, num_rows] float32 scores for the histories before the target events."""
    return embed_queries(model, windows, targets) @ model.embed_all().numpy().T


def score_known(
    model: two_tower.TwoTower, windows: Windows, targets: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """The same with -inf for items that training has never seen.

    Their scores have no scale yet, which `blend.fit_novelty_boost` gives them in the end. In a catalogue with many
    of them, they would hide how well the others are ordered.
    """
    return np.where(model.is_trained, score_queries(model, windows, targets), np.float32(-np.inf))


def _epoch(epoch: int, loss: float, ranks: metrics.Ranks) -> Epoch:
    if not len(ranks.above):
        return Epoch(epoch, loss, math.nan, math.nan, math.nan)
    quality = metrics.ndcg(ranks, 10), metrics.ndcg(ranks, 100), metrics.hit_rate(ranks, 100)
    return Epoch(epoch, loss, *(float(values.mean()) for values in quality))


class _Learner:
    """AdamW along a warm-up and cosine schedule, and running means of the weights."""

    def __init__(
        self,
        model: two_tower.TwoTower,
        config: Hyperparameters,
        steps_per_epoch: int,
        start: Callable[[two_tower.TwoTower], object],
    ):
        self._model = model
        self._start = start
        self._strategy = tf.distribute.get_strategy()
        self._num_replicas, self._batch_size = self._strategy.num_replicas_in_sync, config.batch_size
        if config.batch_size % self._num_replicas:
            raise ValueError(
                f"`batch_size` is {config.batch_size}, which {self._num_replicas} devices cannot share: choose "
                "a multiple of their number, or `strategy: none`."
            )
        total = steps_per_epoch * config.num_epochs
        warmup = max(1, int(config.warmup_fraction * total))
        schedule = tf.keras.optimizers.schedules.CosineDecay(
            0.0, total - warmup, alpha=0.0, warmup_target=config.learning_rate, warmup_steps=warmup
        )
        self._optimizer = tf.keras.optimizers.AdamW(
            schedule, weight_decay=config.weight_decay, clipnorm=None, jit_compile=False
        )
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "start"])
        self._momentum = config.ema_momentum
        self._means: list[tf.Variable] = []

    def step(self, batch: dict[str, npt.NDArray[Any]]) -> tf.Tensor:
        """One update; returns the loss."""
        tensors = _tensors(batch)
        if not self._means:
            self._model.compute_loss(tensors)
            self._start(self._model)
            self._optimizer.build(self._model.trainable_variables)
            # One trace for every length of window.
            specs = {name: tf.TensorSpec([len(t), *[None] * (t.ndim - 1)], t.dtype) for name, t in tensors.items()}
            self._step = tf.function(self._train_all, input_signature=[specs], autograph=False)
            mean = tf.VariableAggregation.MEAN
            self._means = [tf.Variable(v, trainable=False, aggregation=mean) for v in self._model.trainable_variables]
        return self._step(tensors)

    def _train_all(self, batch: two_tower.Tensors) -> tf.Tensor:
        """One update by all replicas, each with its part of the batch."""

        def train_part() -> tf.Tensor:
            if self._num_replicas == 1:
                return self._train(batch)
            context = tf.distribute.get_replica_context()
            # Every n-th: windows of one length, or padding, may stand side by side.
            first = tf.cast(context.replica_id_in_sync_group, tf.int32)
            chosen = first + self._num_replicas * tf.range(self._batch_size // self._num_replicas)
            return self._train({name: tf.gather(column, chosen) for name, column in batch.items()})

        losses = self._strategy.run(train_part)
        return self._strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None)

    def _train(self, batch: two_tower.Tensors) -> tf.Tensor:
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            loss = self._model.compute_loss(batch, training=True)
            share = loss / self._num_replicas if self._num_replicas > 1 else loss
        # Not every loss reads every weight: the sampled one knows no new items, so their bias has no gradient.
        gradients = tape.gradient(share, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
        steps = tf.cast(self._optimizer.iterations, tf.float32)
        momentum = tf.minimum(self._momentum, (1 + steps) / (10 + steps))
        for mean, variable in zip(self._means, variables, strict=True):
            mean.assign(momentum * mean + (1 - momentum) * variable)
        return loss

    def averaged(self) -> _Averaged:
        """A context in which the model holds the means."""
        return _Averaged(self._model.trainable_variables, self._means)


class _Averaged:
    def __init__(self, variables: list[tf.Variable], means: list[tf.Variable]):
        self._variables, self._means = variables, means

    def __enter__(self) -> None:
        self._kept = [variable.numpy() for variable in self._variables]
        for variable, mean in zip(self._variables, self._means, strict=True):
            variable.assign(mean.numpy())

    def __exit__(self, *_: object) -> None:
        for variable, value in zip(self._variables, self._kept, strict=True):
            variable.assign(value)


def _tensors(batch: dict[str, npt.NDArray[Any]]) -> dict[str, tf.Tensor]:
    return {name: tf.convert_to_tensor(column) for name, column in batch.items()}
