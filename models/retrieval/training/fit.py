"""Fits retrieval to a training split: the two towers, the linear model, and the blend of both."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.catalogue import Catalogue
from homefeed.models.errors import ModelError
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.linear import blend, linear_factors
from homefeed.models.retrieval.towers import architecture, candidate_tower
from homefeed.models.retrieval.towers.two_tower import ColdStart, TwoTower
from homefeed.models.retrieval.training.evaluation import Epoch, evaluate, scores_of_known
from homefeed.models.retrieval.training.learner import Learner
from homefeed.models.retrieval.training.optimizer import adamw
from homefeed.models.retrieval.training.targets import sample_targets, target_weights
from homefeed.models.retrieval.training.trained import Trained
from homefeed.models.retrieval.training.windows import Windows
from homefeed.models.sequences import Sequences
from homefeed.models.shared import progress

COLD_START_WARMUP = 0.3  # Share of the training events after which an item may be called new.
EVAL_EVERY = 2  # Epochs.


def train(
    catalogue: Catalogue,
    training: Sequences,
    evaluation: Sequences,
    config: Hyperparameters,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    start: Callable[[TwoTower], object] = lambda _: None,
) -> Trained:
    """Fits towers and linear model to the training split; their blend, and room for new items, to the eval split.

    Args:
        catalogue, training, evaluation: the data.
        config: how.
        on_epoch: called after each epoch.
        start: called with the untrained towers, whose weights it may set.
    """
    with _scope(config):
        towers = fit_towers(catalogue, training, evaluation, config, on_epoch, start)
    windows = Windows(evaluation, config.max_events)
    targets = sample_targets(windows.targets)
    queries = windows.histories(targets), windows.items(targets)
    decomposition = linear_factors.decompose(training, catalogue.num_rows, config.linear_rank, config.seed)
    linear = blend.fit_blend(scores_of_known(towers, windows, targets), *queries, decomposition)
    is_new = catalogue.train_counts == 0
    content = towers.embed_both()[1][:, :-1].numpy()
    maps = linear.content_maps(content, is_new)
    linear = linear.for_new_items(maps, content, is_new)
    trained = Trained(towers, towers.embed_all().numpy(), linear, maps, 0.0, config.max_linear_events)
    scores = trained.scores_in_parts(windows, targets)
    boost = blend.fit_cold_start_boost(scores, *queries, is_new, config.cold_start_price)
    trained.candidates[1:, -1] += boost * is_new[1:]
    return dataclasses.replace(trained, cold_start_boost=boost)


def fit_towers(
    catalogue: Catalogue,
    train: Sequences,
    evaluation: Sequences,
    config: Hyperparameters,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    start: Callable[[TwoTower], object] = lambda _: None,
) -> TwoTower:
    """Trains, and returns the model with the averaged weights of the epoch that ranked the eval split best.

    Deterministic by `config.seed`.

    Raises:
        ModelError: there is nothing to learn from.
    """
    if config.epochs < 1:
        raise ValueError(f"`epochs` is {config.epochs}, but the towers need at least 1.")
    weights = target_weights(train, config.non_positive_weight, config.event_weights, config.value_weight)
    windows = Windows(train, config.max_events, weights)
    if not len(windows.targets):
        raise ModelError(
            "The training split holds no interaction with an item of the catalogue, so there is nothing to "
            "learn from. Check the split's time range and that both tables use the same item ids."
        )
    tf.keras.utils.set_random_seed(config.seed)
    generator = np.random.default_rng(config.seed)
    model = build(catalogue, train, config)
    eval_windows = Windows(evaluation, config.max_events)
    steps_per_epoch = min(config.max_steps, windows.num_batches(np.random.default_rng(0), config.batch_size))
    learner = Learner(model, adamw(config, steps_per_epoch * config.epochs), config, start)
    best, best_epoch, best_weights = -1.0, 0, None
    for epoch in range(config.epochs):
        batches = windows.epoch(generator, config.batch_size, config.max_steps)
        losses = [learner.step(b) for b in progress.through(batches, steps_per_epoch, epoch, config.epochs)]
        loss = float(np.mean([loss.numpy() for loss in losses]))
        if epoch % EVAL_EVERY != EVAL_EVERY - 1 and epoch != config.epochs - 1:
            on_epoch(Epoch.unmeasured(epoch, loss))
            continue
        with learner.averaged():
            row = Epoch.of(epoch, loss, evaluate(model, eval_windows))
            on_epoch(row)
            if math.isnan(row.quality) or row.quality > best:
                best, best_epoch, best_weights = row.quality, epoch, model.get_weights()
        if epoch - best_epoch >= config.patience:
            break
    model.set_weights(best_weights)
    return model


def build(catalogue: Catalogue, train: Sequences, config: Hyperparameters) -> TwoTower:
    """An untrained model, shaped by the training data."""
    towers = architecture.Architecture.of(catalogue, train)
    rows = candidate_tower.candidate_rows(catalogue, towers.item_spec)
    return TwoTower(
        towers.query_tower(config),
        towers.candidate_tower(config),
        rows,
        catalogue.train_counts,
        first_seen(train, catalogue.num_rows),
        config.max_events,
        config.max_softmax_items,
        config.num_sampled,
        cold_start(train.timestamp, config),
    )


def cold_start(timestamp: npt.NDArray[np.int64], config: Hyperparameters) -> ColdStart:
    """Turns shares of the training data into times."""
    if not len(timestamp):
        return ColdStart(config.cold_start_share, 0, 0)
    start = int(np.quantile(timestamp, COLD_START_WARMUP, method="nearest"))
    return ColdStart(config.cold_start_share, int(config.cold_start_span * np.ptp(timestamp)), start)


def first_seen(sequences: Sequences, num_rows: int) -> npt.NDArray[np.int64]:
    """[num_rows] int64 time of each item's first event; the largest int64 where there is none."""
    earliest = np.full(num_rows, np.iinfo(np.int64).max)
    np.minimum.at(earliest, sequences.item_index, sequences.timestamp)
    return earliest


def _scope(config: Hyperparameters) -> contextlib.AbstractContextManager[object]:
    return tf.distribute.MirroredStrategy().scope() if config.strategy == "mirrored" else contextlib.nullcontext()
