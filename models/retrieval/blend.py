"""How much the linear model may say beside the towers, decided on the eval split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models import metrics
from models.retrieval.linear_factors import Decomposition, LinearFactors

REGULARIZATIONS = (30.0, 100.0, 300.0, 1000.0)
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)  # Of the linear scores, scaled to standard deviation 1.
CUT_OFF = 100  # NDCG@100 asks for the first page and for what comes after, and is less noisy than NDCG@10.


def fit_blend(
    tower_scores: npt.NDArray[np.float32],
    histories: Sequence[npt.NDArray[np.integer]],
    targets: npt.NDArray[np.integer],
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
    silent = decomposition.factors(1.0).scaled(0.0)
    if not len(targets):
        return silent
    best, chosen = _quality(tower_scores, targets, histories), silent
    for regularization in REGULARIZATIONS:
        factors = decomposition.factors(regularization)
        scores = factors.scores(histories)
        scale = float(scores.std())
        if scale == 0:
            continue
        for weight in WEIGHTS:
            quality = _quality(tower_scores + np.float32(weight / scale) * scores, targets, histories)
            if quality > best:
                best, chosen = quality, factors.scaled(weight / scale)
    return chosen


def _quality(
    scores: npt.NDArray[np.float32],
    targets: npt.NDArray[np.integer],
    histories: Sequence[npt.NDArray[np.integer]],
) -> float:
    return float(metrics.ndcg(metrics.rank_targets(scores, targets, histories), CUT_OFF).mean())
