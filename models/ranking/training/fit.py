"""Trains the ranker, and fits what is fitted on eval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from homefeed.models.exposures import Exposures
from homefeed.models.objectives import Objectives
from homefeed.models.ranking.examples.labelled_points import (
    LabelledPoints,
    Retrieve,
    hold_out,
    make_batch,
    tensors,
    unlisted,
)
from homefeed.models.ranking.examples.shown_points import ShownPoints
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.training.on_eval import fit_on_eval
from homefeed.models.ranking.training.trained import Trained
from homefeed.models.ranking.training.trainer import Epoch, Trainer
from homefeed.models.sequences import Sequences
from homefeed.models.shared import prediction_points

_MAX_EVAL_POINTS = 2000
_HELD_OUT = 0.2  # Share of a user's events that are targets under `targets: any`.


def fit(
    ranker: Ranker,
    train: Sequences,
    evaluation: Sequences,
    retrieve: Retrieve,
    config: Hyperparameters,
    log: Callable[[Epoch], None] = lambda epoch: None,
    start: Callable[[Ranker], object] | None = None,
    shown: Exposures | None = None,
    shown_in_evaluation: Exposures | None = None,
) -> Trained:
    """Trains `ranker` in place.

    Args:
        ranker: fresh.
        train: what it learns from.
        evaluation: what decides when to stop, how far to trust retrieval, and calibration.
        retrieve: what the retrieval model returns.
        config: rates and lengths.
        log: called after each epoch.
        start: called with `ranker` once all its weights exist, which it may set.
        shown: what was shown, and what of it was taken, in training; None: nothing says so.
        shown_in_evaluation: the same of eval.
    """
    rng = np.random.default_rng(config.seed)
    objectives = ranker.objectives
    source = _source(train, retrieve, objectives, config, rng)
    held_out = _held_out(evaluation, retrieve, objectives.types, config)
    if start:
        which = np.arange(min(1, len(held_out)))
        ranker(tensors(make_batch(held_out, which, config, np.random.default_rng(0))))
        start(ranker)
    liked = train.positive[train.targets]
    trainer = Trainer(ranker, config, float(liked.mean()) if len(liked) else 1.0)
    impressions = (
        ShownPoints.of(exposures if config.exposure_weight else None, sequences, sequences is train)
        for exposures, sequences in ((shown, train), (shown_in_evaluation, evaluation))
    )
    epochs = trainer.run(source, held_out, rng, log, *impressions)
    blend, (liked_calibration, *of_types), objective_blends, sure = fit_on_eval(ranker, held_out, config)
    return Trained(ranker, blend, liked_calibration, tuple(epochs), tuple(of_types), objective_blends, sure)


def _source(
    train: Sequences, retrieve: Retrieve, objectives: Objectives, config: Hyperparameters, rng: np.random.Generator
) -> Callable[[], LabelledPoints]:
    """Gives an epoch's training requests."""
    types, relevance = objectives.types, _relevance(train, objectives, config.objective_share)

    def coming() -> LabelledPoints:
        points = prediction_points.random_points(train, config.points_per_user, rng)
        points = prediction_points.drawn(points, config.max_points, rng)
        return LabelledPoints(train, points, *retrieve(train, points, config.num_retrieved), True, types, relevance)

    def held() -> LabelledPoints:
        sequences = hold_out(train, _HELD_OUT, rng)
        points = prediction_points.drawn(prediction_points.first_targets(sequences), config.max_points, rng)
        return unlisted(sequences, points, config.num_retrieved, True, types)

    return coming if config.targets == "next" else held


def _relevance(train: Sequences, objectives: Objectives, share: float) -> npt.NDArray[np.float32] | None:
    """[num_events] how much each counts in the listwise loss; what is worth nothing, or less, the least."""
    worth = np.maximum(objectives.happened(0, train, np.arange(len(train.timestamp))), 0)
    if objectives.is_plain[0] or not worth.any() or not share:
        return None
    return (1 - share + share * worth / worth.mean()).astype(np.float32)


def _held_out(
    evaluation: Sequences, retrieve: Retrieve, types: tuple[str, ...], config: Hyperparameters
) -> LabelledPoints:
    if config.targets == "any":
        points = prediction_points.first_targets(evaluation)
        return unlisted(evaluation, points, config.num_retrieved, False, types)
    points = prediction_points.thinned(prediction_points.every_target(evaluation), _MAX_EVAL_POINTS)
    return LabelledPoints(evaluation, points, *retrieve(evaluation, points, config.num_retrieved), False, types)
