"""Training requests: a prediction point, what came then, and what retrieval would have shown instead."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.objectives import outcomes
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.ratings import fits as rating_fits
from homefeed.models.sequences import Sequences
from homefeed.models.shared import prediction_points
from homefeed.models.shared.prediction_points import PredictionPoints

Arrays = dict[str, npt.NDArray[Any]]
Retrieve = Callable[[Sequences, PredictionPoints, int], tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]]
"""What retrieval returns at points: rows [num_points, k], 0 for none, and scores [num_points, k] float32."""


@dataclasses.dataclass(frozen=True)
class LabelledPoints:
    """Prediction points whose future is known.

    Attributes:
        sequences: where they lie.
        points: where.
        retrieved: [num_points, num_candidates] int32 rows that retrieval returned, 0 for none.
        retrieval_scores: [num_points, num_candidates] float32.
        in_training: whether rating factors were fitted to these users' events.
        types: event types that are told apart.
        relevance: [num_events] float32, how much each event counts in the listwise loss; None: alike.
    """

    sequences: Sequences
    points: PredictionPoints
    retrieved: npt.NDArray[np.int32]
    retrieval_scores: npt.NDArray[np.float32]
    in_training: bool
    types: tuple[str, ...] = ()
    relevance: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.points)


def unlisted(
    sequences: Sequences,
    points: PredictionPoints,
    num_candidates: int,
    in_training: bool,
    types: tuple[str, ...] = (),
) -> LabelledPoints:
    """Points for which retrieval is not asked."""
    nothing = np.zeros((len(points), num_candidates), np.int32)
    return LabelledPoints(sequences, points, nothing, nothing.astype(np.float32), in_training, types)


def hold_out(sequences: Sequences, fraction: float, rng: np.random.Generator) -> Sequences:
    """Each user's events with a random part of them last, as targets, and the others as their history."""
    user = np.repeat(np.arange(sequences.num_users), np.diff(sequences.row_splits))
    is_target = rng.random(len(user)) < fraction
    order = np.lexsort((np.where(is_target, rng.permutation(len(user)), np.arange(len(user))), is_target, user))
    return dataclasses.replace(
        sequences,
        num_history=np.bincount(user[~is_target], minlength=sequences.num_users).astype(np.int64),
        **sequences.events_at(order),
    )


def make_batch(
    labelled: LabelledPoints, which: npt.NDArray[np.int64], config: Hyperparameters, rng: np.random.Generator
) -> Arrays:
    """Model inputs and labels of some points.

    Returns:
        The request, with `fit` [batch] int32 of `RatingTaste`, and [batch, num_targets + num_negatives]:
        `candidates` int32 rows; `relevance` float32 of the listwise loss; `irrelevant` bool; `is_event` float32,
        1 for what really happened; `positive` float32; `types` [..., num_types] float32; `value` float32, NaN for
        unknown.
    """
    sequences, points = labelled.sequences, labelled.points[which]
    inputs = prediction_points.features(sequences, points, max(config.max_events, config.max_rated_events))
    inputs["fit"] = rating_fits.fold(points.row) * np.int32(labelled.in_training)
    coming = prediction_points.coming_events(sequences, points, config.num_targets)
    targets = np.where(coming >= 0, sequences.item_index[coming], 0)
    negatives = _draw(labelled.retrieved[which], targets, config.num_negatives, rng)
    nothing = np.zeros(negatives.shape, np.float32)
    happened = (targets > 0).astype(np.float32)
    listed = happened * _relevance(inputs, config)
    if labelled.relevance is not None:
        listed *= labelled.relevance[coming]
    known = outcomes(sequences, coming, labelled.types) * happened[..., None]
    labels = {
        "candidates": np.concatenate([targets, negatives], 1).astype(np.int32),
        "relevance": np.concatenate([listed, nothing], 1),
        "irrelevant": np.concatenate([targets < 0, negatives > 0], 1),
        "is_event": np.concatenate([happened, nothing], 1),
        "positive": np.concatenate([known[..., 0], nothing], 1),
        "types": np.pad(known[..., 1:], ((0, 0), (0, negatives.shape[1]), (0, 0))),
        "value": np.concatenate([np.where(happened > 0, sequences.value[coming], np.nan), nothing + np.nan], 1),
    }
    return inputs | labels


def _relevance(inputs: Arrays, config: Hyperparameters) -> npt.NDArray[np.float32]:
    """[batch, num_targets]: the first targets alike; after a query all of it is the first's, which was asked for."""
    place = np.arange(config.num_targets)
    first = (place < config.num_listed).astype(np.float32)
    searched = inputs["query_token_ids"].any(axis=1) if "query_token_ids" in inputs else np.zeros(len(inputs["fit"]))
    alone = np.where(place == 0, first.sum(), 0)
    return np.where(searched[:, None] > 0, alone, first).astype(np.float32)


def _draw(
    retrieved: npt.NDArray[np.int32], targets: npt.NDArray[np.int32], num: int, rng: np.random.Generator
) -> npt.NDArray[np.int32]:
    """[batch, num] int32: some of what was retrieved and did not happen, 0 where there is no more."""
    happened = (retrieved[:, :, None] == targets[:, None, :]).any(axis=2)
    usable = (retrieved > 0) & ~happened
    order = np.argsort(np.where(usable, rng.random(retrieved.shape), 2.0), axis=1)[:, :num]
    drawn = np.where(np.take_along_axis(usable, order, 1), np.take_along_axis(retrieved, order, 1), 0)
    return np.pad(drawn, ((0, 0), (0, num - drawn.shape[1])))


def tensors(batch: Arrays) -> dict[str, tf.Tensor]:
    """The same for the graph."""
    return {name: tf.convert_to_tensor(array) for name, array in batch.items()}
