"""What is fitted, and measured, with a trained ranker: blend, calibration, P(positive) and ratings of a split."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.ranking.examples.labelled_points import LabelledPoints, make_batch, tensors, unlisted
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.training import blend as blends
from homefeed.models.ranking.training.trained import Trained
from homefeed.models.ranking.training.trainer import eval_config
from homefeed.models.sequences import Sequences
from homefeed.models.shared.prediction_points import first_targets

Floats = npt.NDArray[np.float64]


def fit_on_eval(
    ranker: Ranker, held_out: LabelledPoints, config: Hyperparameters
) -> tuple[blends.Blend, blends.Calibration]:
    """Blend and calibration; neither says anything where there is nothing to judge by.

    Args:
        ranker: trained.
        held_out: points of the eval split, with what retrieval returns there.
        config: what it was trained with.
    """
    if not len(held_out):
        return blends.Blend(), blends.Calibration()
    score = tf.function(lambda batch: ranker(batch), reduce_retracing=True)
    as_served = eval_config(config)
    rng = np.random.default_rng(config.seed)
    logits, text_logits, targets, positive_logits, positives = [], [], [], [], []
    for start in range(0, len(held_out), as_served.batch_size):
        which = np.arange(start, min(start + as_served.batch_size, len(held_out)))
        batch = make_batch(held_out, which, as_served, rng)
        num_targets = as_served.num_targets
        happened = batch["candidates"][:, :num_targets]
        batch["candidates"] = np.concatenate([happened, held_out.retrieved[which]], 1)
        outputs = score(tensors(batch))
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
    )
    return blend, calibration


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
        columns[0].append(1 / (1 + np.exp(-(calibration.slope * logits + calibration.offset))))
        columns[1].append(np.clip(scale.mean + scale.deviation * rating, scale.lowest, scale.highest))
        columns[2].append(batch["positive"][known])
        columns[3].append(batch["value"][known])
    probability, rating, positive, value = (np.concatenate(column).astype(np.float64) for column in columns)
    return probability, rating, positive, value
