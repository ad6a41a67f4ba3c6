"""What is fitted, and measured, with a trained ranker: blend, calibration, P(liked) and ratings of a split."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.objectives import outcomes
from homefeed.models.ranking.examples.labelled_points import LabelledPoints, make_batch, tensors, unlisted
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.training import blend as blends
from homefeed.models.ranking.training.blend import Blend
from homefeed.models.ranking.training.calibration import Calibration, fit_calibration
from homefeed.models.ranking.training.trained import Trained
from homefeed.models.ranking.training.trainer import eval_config
from homefeed.models.ranking.training.uncertainty import Judged, Uncertainty, fit_uncertainty
from homefeed.models.sequences import Sequences
from homefeed.models.shared.prediction_points import PredictionPoints, first_targets, places_of_coming

Floats = npt.NDArray[np.float64]


def fit_on_eval(
    ranker: Ranker, held_out: LabelledPoints, config: Hyperparameters
) -> tuple[Blend, list[Calibration], dict[str, Blend], Uncertainty]:
    """The blend of what comes next, calibrations of the outcomes, the blend of each objective that asks for more, and
    how sure P(liked) is.

    None says anything where there is nothing to judge by.

    Args:
        ranker: trained.
        held_out: points of the eval split, with what retrieval returns there.
        config: what it was trained with.
    """
    if not len(held_out):
        return Blend(), [Calibration() for _ in range(1 + len(held_out.types))], {}, Uncertainty()
    asked = _ask(ranker, held_out, config)
    present = held_out.retrieved > 0
    place = (held_out.retrieved == asked.targets[:, None]) & present
    target = np.where(place.any(1), place.argmax(1), -1)
    parts = blends.standardise(held_out.retrieval_scores, present), asked.logits, asked.text_logits
    blend = blends.fit_blend(*parts, target, present)
    interest = np.stack(parts, -1) @ blend.interest
    standardised = blends.standardise(interest, present)
    calibrations = _calibrate(held_out, asked, standardised)
    probabilities = [fitted(asked.outcome_logits[..., at], standardised) for at, fitted in enumerate(calibrations)]
    expected, objectives = np.stack(probabilities, -1), ranker.objectives
    found = {}
    for at, name in enumerate(objectives.names):
        if not objectives.is_plain[at]:
            values = objectives.values(at, held_out.retrieved, expected)
            worth = objectives.happened(at, held_out.sequences, held_out.points.cut)
            weight = blends.fit_value_weight(interest, values, target, worth, present, config.value_price)
            scores, wanted = np.where(present, interest + weight * values, -np.inf), (target >= 0) & (worth > 0)
            scale = blends.most_likely_scale(scores[wanted], target[wanted])
            found[name] = dataclasses.replace(blend, value=weight).scaled(scale)
    counts, longest = ranker.item_counts.numpy(), max(config.max_events, config.max_rated_events)
    judged = judged_events(held_out.sequences, held_out.points, held_out.retrieved, probabilities[0], counts, longest)
    return blend, calibrations, found, fit_uncertainty(judged)


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What the ranker says at points of eval, float64 but for the rows.

    Attributes:
        logits, text_logits: [num_points, num_candidates] of what retrieval returned.
        outcome_logits: [num_points, num_candidates, num_outcomes] of P(liked) and of types.
        targets: [num_points] rows of what came.
        known: [num_events, num_outcomes] logits of what happened at the points, whether it was retrieved or not.
        happened: [num_events, num_outcomes] 0 or 1.
        points: [num_events] where they did.
    """

    logits: Floats
    text_logits: Floats
    outcome_logits: Floats
    targets: npt.NDArray[np.int32]
    known: Floats
    happened: Floats
    points: npt.NDArray[np.int64]


def _ask(ranker: Ranker, held_out: LabelledPoints, config: Hyperparameters) -> _Asked:
    score = tf.function(lambda batch: ranker(batch), reduce_retracing=True)
    as_served = eval_config(config)
    num_targets = as_served.num_targets
    rng = np.random.default_rng(config.seed)
    parts: list[tuple[npt.NDArray[Any], ...]] = []
    for start in range(0, len(held_out), as_served.batch_size):
        which = np.arange(start, min(start + as_served.batch_size, len(held_out)))
        batch = make_batch(held_out, which, as_served, rng)
        targets = batch["candidates"][:, :num_targets]
        batch["candidates"] = np.concatenate([targets, held_out.retrieved[which]], 1)
        outputs = {name: column.numpy() for name, column in score(tensors(batch)).items()}
        outcomes = np.concatenate([outputs["positive_logits"][..., None], outputs["type_logits"]], -1)
        happened = np.concatenate([batch["positive"][..., None], batch["types"]], -1)[:, :num_targets]
        known = batch["is_event"][:, :num_targets] > 0
        parts.append(
            (
                outputs["list_logits"][:, num_targets:].astype(np.float64),
                outputs["text_logits"][:, num_targets:].astype(np.float64),
                outcomes[:, num_targets:].astype(np.float64),
                targets[:, 0],
                outcomes[:, :num_targets][known].astype(np.float64),
                happened[known].astype(np.float64),
                which[np.nonzero(known)[0]],
            )
        )
    return _Asked(*map(np.concatenate, zip(*parts, strict=True)))


def _calibrate(held_out: LabelledPoints, asked: _Asked, interest: Floats) -> list[Calibration]:
    """Of P(liked), then of each type: fitted to what was retrieved and chosen later in the split, as it is shown.

    Where nothing is retrieved it is fitted to what was chosen.
    """
    sequences, points = held_out.sequences, held_out.points
    coming = places_of_coming(sequences, points, held_out.retrieved)
    found = coming >= 0
    if found.any():
        logits, standardised = asked.outcome_logits[found], interest[found]
        happened = outcomes(sequences, coming[found], held_out.types).astype(np.float64)
        users = points.row[np.nonzero(found)[0]]
        _, event, times = np.unique(coming[found], return_inverse=True, return_counts=True)
        weights = 1 / times[event]  # Each event counts once, however often it was retrieved before.
    else:
        logits, happened, users = asked.known, asked.happened, points.row[asked.points]
        standardised, weights = np.zeros(len(logits)), np.ones(len(logits))
    return [
        fit_calibration(logits[:, at], happened[:, at], standardised, users, weights) for at in range(logits.shape[1])
    ]


def judged_events(
    sequences: Sequences,
    points: PredictionPoints,
    retrieved: npt.NDArray[np.int32],
    probabilities: Floats,
    item_counts: npt.NDArray[np.floating[Any]],
    longest: int,
) -> Judged:
    """What was retrieved and chosen later in a split, each event once.

    Args:
        sequences: the split.
        points: where was asked.
        retrieved: [num_points, num_candidates] rows, 0 for none.
        probabilities: [num_points, num_candidates] of being liked.
        item_counts: [num_rows] events of training.
        longest: history that the model reads.
    """
    coming = places_of_coming(sequences, points, retrieved)
    point, place = np.nonzero(coming >= 0)
    events, first = np.unique(coming[point, place], return_index=True)
    point, place = point[first], place[first]
    items, users = retrieved[point, place], points.row[point]
    return Judged(
        probabilities[point, place],
        sequences.positive[events].astype(np.float64),
        users,
        items.astype(np.int64),
        np.minimum(points.cut[point] - sequences.row_splits[users], longest).astype(np.float64),
        item_counts[items].astype(np.float64),
    )


def predict(trained: Trained, sequences: Sequences) -> tuple[Floats, Floats, Floats, Floats]:
    """P(positive) and rating of every event of a split, each user asked once, with the history before the split.

    Returns:
        [num_targets] float64 each: probability, rating (NaN where the data has none), whether it was positive,
        and its value.
    """
    ranker, calibration, scale = trained.ranker, trained.calibration, trained.ranker.scale
    points = first_targets(sequences)
    longest = int((sequences.row_splits[1:] - sequences.row_splits[:-1] - sequences.num_history).max(initial=1))
    config = dataclasses.replace(ranker.config, num_targets=longest, num_negatives=0)
    asked = unlisted(sequences, points, 1, False)
    score = tf.function(lambda batch: ranker(batch), reduce_retracing=True)
    columns: list[list[npt.NDArray[Any]]] = [[np.empty(0)] for _ in range(4)]
    for start in range(0, len(points), 64):
        which = np.arange(start, min(start + 64, len(points)))
        batch = make_batch(asked, which, config, np.random.default_rng(0))
        outputs = score(tensors(batch))
        known = batch["is_event"] > 0
        logits = outputs["positive_logits"].numpy()[known].astype(np.float64)
        rating = outputs["ratings"].numpy()[known] if ranker.has_ratings else np.full(len(logits), np.nan)
        columns[0].append(calibration(logits))
        columns[1].append(np.clip(scale.mean + scale.deviation * rating, scale.lowest, scale.highest))
        columns[2].append(batch["positive"][known])
        columns[3].append(batch["value"][known])
    probability, rating, positive, value = (np.concatenate(column).astype(np.float64) for column in columns)
    return probability, rating, positive, value
