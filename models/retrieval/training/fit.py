"""Fits retrieval to a training split: the two towers, the linear model, and the blend of both."""

from __future__ import annotations

import dataclasses
import pathlib
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
from homefeed.models.retrieval.training.course import Checkpoint
from homefeed.models.retrieval.training.devices import devices
from homefeed.models.retrieval.training.evaluation import Epoch, scores_of_known
from homefeed.models.retrieval.training.learner import Learner
from homefeed.models.retrieval.training.loop import Loop
from homefeed.models.retrieval.training.optimizer import adamw
from homefeed.models.retrieval.training.targets import sample_targets, target_weights
from homefeed.models.retrieval.training.trained import Trained
from homefeed.models.retrieval.training.windows import Windows
from homefeed.models.sequences import Sequences

COLD_START_WARMUP = 0.3  # Share of the training events after which an item may be called new.


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
    towers = fit_towers(catalogue, training, evaluation, config, on_epoch, start)
    return complete(towers, catalogue, training, evaluation, config)


def complete(
    towers: TwoTower, catalogue: Catalogue, training: Sequences, evaluation: Sequences, config: Hyperparameters
) -> Trained:
    """Trained towers with the linear model, their blend, and room for new items; for the rest see `train`."""
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
    checkpoints: pathlib.Path | None = None,
) -> TwoTower:
    """Trains, and returns the model with the averaged weights of the epoch that ranked the eval split best.

    Deterministic by `config.seed`. Of several workers each calls it with the same arguments; the chief alone
    evaluates, calls `on_epoch`, writes checkpoints, and gets the best epoch's weights.

    Args:
        catalogue, train, evaluation, config, on_epoch, start: see `train`.
        checkpoints: folder that all workers share: each epoch is kept there until the last one, and an ended training
            goes on from it; None: nothing is kept.

    Raises:
        ModelError: there is nothing to learn from, or a worker is lost.
    """
    if config.epochs < 1:
        raise ValueError(f"`epochs` is {config.epochs}, but the towers need at least 1.")
    windows = Windows(train, config.max_events, weights_of(train, config))
    if not len(windows.targets):
        raise ModelError(
            "The training split holds no interaction with an item of the catalogue, so there is nothing to "
            "learn from. Check the split's time range and that both tables use the same item ids."
        )
    where, eval_windows = devices(config.strategy), Windows(evaluation, config.max_events)
    steps = min(config.max_steps, windows.num_batches(np.random.default_rng(0), config.batch_size))
    with where.scope(), where.together():
        model, learner = begin(catalogue, train, config, steps * config.epochs, start)
        checkpoint = Checkpoint.of(checkpoints, config, catalogue, train, evaluation)
        Loop(model, learner, windows, eval_windows, config, steps, where, checkpoint).run(on_epoch)
    return model


def begin(
    catalogue: Catalogue,
    train: Sequences,
    config: Hyperparameters,
    num_steps: int,
    start: Callable[[TwoTower], object] = lambda _: None,
) -> tuple[TwoTower, Learner]:
    """An untrained model by `config.seed`, and what changes it in `num_steps` steps; see `train`."""
    tf.keras.utils.set_random_seed(config.seed)
    model = build(catalogue, train, config)
    return model, Learner(model, adamw(config, num_steps), config, start)


def build(catalogue: Catalogue, train: Sequences, config: Hyperparameters) -> TwoTower:
    """An untrained model, shaped by the training data."""
    towers = architecture.Architecture.of(catalogue, train)
    rows = candidate_tower.candidate_rows(catalogue, towers.item_spec)
    return TwoTower(
        towers.query_tower(config),
        towers.candidate_tower(config),
        rows,
        catalogue.train_counts,
        target_shares(train, catalogue.num_rows, config),
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


def target_shares(sequences: Sequences, num_rows: int, config: Hyperparameters) -> npt.NDArray[np.float64]:
    """[num_rows] each item's share of the targets: of what is had again and again less than of all events."""
    targets = sequences.item_index[weights_of(sequences, config) > 0]
    return np.bincount(targets, minlength=num_rows) / max(len(targets), 1)


def weights_of(sequences: Sequences, config: Hyperparameters) -> npt.NDArray[np.float32]:
    """`target_weights`, as they are configured."""
    return target_weights(sequences, config.non_positive_weight, config.event_weights, config.value_weight)


def first_seen(sequences: Sequences, num_rows: int) -> npt.NDArray[np.int64]:
    """[num_rows] int64 time of each item's first event; the largest int64 where there is none."""
    earliest = np.full(num_rows, np.iinfo(np.int64).max)
    np.minimum.at(earliest, sequences.item_index, sequences.timestamp)
    return earliest
