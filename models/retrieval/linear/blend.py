"""Weights fitted on the eval split: of the linear part beside the towers, and of cold-start items."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.evaluation import metrics
from homefeed.models.retrieval.linear.linear_factors import Decomposition, LinearFactors

REGULARIZATIONS = (30.0, 100.0, 300.0, 1000.0)
LONG_TERMS = (0.1, 0.3, 1.0)  # Where order tells little, as in a log of ratings, old events say as much as new ones.
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)  # Of the linear scores, scaled to standard deviation 1.
BOOSTS = (-4.0, -3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
CUT_OFF = 100  # NDCG@100 asks for the first page and for what comes after, and is less noisy than NDCG@10.


def fit_blend(
    tower_scores: npt.NDArray[np.float32],
    histories: Sequence[npt.NDArray[np.integer[Any]]],
    targets: npt.NDArray[np.integer[Any]],
    decomposition: Decomposition,
) -> LinearFactors:
    """The linear factors which, added to the towers' scores, rank the targets best.

    Args:
        tower_scores: [num_queries, num_rows] float32.
        histories: rows of each query's history.
        targets: [num_queries] rows.
        decomposition: of the training split.

    Returns:
        Factors with the weight folded in; all 0 where nothing helps, or where there is nothing to judge by.
    """
    silent = decomposition.factors(1.0, LONG_TERMS[0]).scaled(0.0)
    if not len(targets):
        return silent
    best, chosen = _quality(tower_scores, targets, histories), silent
    for regularization, long_term in itertools.product(REGULARIZATIONS, LONG_TERMS):
        factors = decomposition.factors(regularization, long_term)
        scores = factors.scores(histories)
        scale = float(scores.std())
        if scale == 0:
            continue
        for weight in WEIGHTS:
            quality = _quality(tower_scores + np.float32(weight / scale) * scores, targets, histories)
            if quality > best:
                best, chosen = quality, factors.scaled(weight / scale)
    return chosen


def fit_cold_start_boost(
    scores: npt.NDArray[np.float32],
    histories: Sequence[npt.NDArray[np.integer[Any]]],
    targets: npt.NDArray[np.integer[Any]],
    is_new: npt.NDArray[np.bool_],
    price: float,
) -> float:
    """What to add to the scores of cold-start items, so that they get a chance to be chosen.

    Training simulates how items do that are new and will be chosen; many new items never will be. So the scores
    need a scale that only the eval split can give, and it may well be negative. No ranking measure on past events
    asks for more than what is best there: a new item has few events yet, however good it is. So its chance has a
    price: the largest boost is taken that costs at most `price`, a share of the best quality.

    Args:
        scores: [num_queries, num_rows] float32.
        histories, targets: as in `fit_blend`.
        is_new: [num_rows] bool.
        price: 0.01 gives up at most 1% of NDCG@100.
    """
    if not len(targets) or not is_new[1:].any():
        return 0.0
    qualities = [_quality(scores + np.float32(boost) * is_new, targets, histories) for boost in BOOSTS]
    allowed = (1 - price) * max(qualities)
    return max(boost for boost, quality in zip(BOOSTS, qualities, strict=True) if quality >= allowed)


def _quality(
    scores: npt.NDArray[np.float32],
    targets: npt.NDArray[np.integer[Any]],
    histories: Sequence[npt.NDArray[np.integer[Any]]],
) -> float:
    return float(metrics.ndcg(metrics.rank_targets(scores, targets, histories), CUT_OFF).mean())
