"""Weights fitted on the eval split: of the linear part beside the towers, and of cold-start items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.evaluation import metrics
from homefeed.models.retrieval.linear.linear_factors import Decomposition, Floats, LinearFactors

REGULARIZATIONS = (30.0, 100.0, 300.0, 1000.0)
LONG_TERMS = (0.1, 0.3, 1.0)  # Where order tells little, as in a log of ratings, old events say as much as new ones.
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)  # Of the linear scores, scaled to standard deviation 1.
BOOSTS = (-4.0, -3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
CUT_OFF = 100  # NDCG@100 asks for the first page and for what comes after, and is less noisy than NDCG@10.


def fit_blend(
    tower_scores: metrics.Scores,
    histories: Sequence[npt.NDArray[np.integer[Any]]],
    targets: npt.NDArray[np.integer[Any]],
    decomposition: Decomposition,
) -> LinearFactors:
    """The linear factors which, added to the towers' scores, rank the targets best.

    Args:
        tower_scores: of some of the queries.
        histories: rows of each query's history.
        targets: [num_queries] rows.
        decomposition: of the training split.

    Returns:
        Factors with the weight folded in; all 0 where nothing helps, or where there is nothing to judge by.
    """
    if not len(targets):
        return decomposition.factors(REGULARIZATIONS[0], LONG_TERMS[0]).scaled(0.0)
    qualities: dict[tuple[float, float, float], float] = {}
    for regularization in REGULARIZATIONS:
        qualities |= _qualities(tower_scores, histories, targets, decomposition, regularization)
    regularization, long_term, weight = max(qualities, key=qualities.__getitem__)
    return decomposition.factors(regularization, long_term).scaled(weight)


def _qualities(
    tower_scores: metrics.Scores,
    histories: Sequence[npt.NDArray[np.integer[Any]]],
    targets: npt.NDArray[np.integer[Any]],
    decomposition: Decomposition,
    regularization: float,
) -> dict[tuple[float, float, float], float]:
    """Regularisation, long-term weight and weight → quality; the towers alone, of weight 0, come first."""
    factors = {long_term: decomposition.factors(regularization, long_term) for long_term in LONG_TERMS}
    decode = factors[LONG_TERMS[0]].decode
    queries = {long_term: setting.queries(histories) for long_term, setting in factors.items()}
    scales = {long_term: score_deviation(asked, decode) for long_term, asked in queries.items()}
    tried = [(t, weight / scale) for t, scale in scales.items() for weight in WEIGHTS if scale]
    qualities = dict.fromkeys([(LONG_TERMS[0], 0.0), *tried], 0.0)
    for part in metrics.parts(len(targets), len(decode)):
        towers = tower_scores(part)
        linear = {long_term: asked[part] @ decode.T for long_term, asked in queries.items()}
        for long_term, weight in qualities:
            scores = towers + np.float32(weight) * linear[long_term]
            qualities[long_term, weight] += _quality(scores, targets[part], histories[part])
    return {(regularization, *setting): quality for setting, quality in qualities.items()}


def score_deviation(queries: Floats, decode: Floats) -> float:
    """The standard deviation of all [num_queries, num_rows] inner products, none of which is made.

    Their mean is that of the queries times that of the rows; the mean of their squares is the sum of the products of
    the two tables' second moments.
    """
    mean = float(queries.mean(axis=0, dtype=np.float64) @ decode.mean(axis=0, dtype=np.float64))
    moments = [(table.T @ table).astype(np.float64) / len(table) for table in (queries, decode)]
    return math.sqrt(max(float((moments[0] * moments[1]).sum()) - mean**2, 0.0))


def fit_cold_start_boost(
    scores: metrics.Scores,
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
        scores: of some of the queries.
        histories, targets: as in `fit_blend`.
        is_new: [num_rows] bool.
        price: 0.01 gives up at most 1% of NDCG@100.
    """
    if not len(targets) or not is_new[1:].any():
        return 0.0
    qualities = np.zeros(len(BOOSTS))
    for part in metrics.parts(len(targets), len(is_new)):
        found = scores(part)
        boosted = (found + np.float32(boost) * is_new for boost in BOOSTS)
        qualities += [_quality(tried, targets[part], histories[part]) for tried in boosted]
    allowed = (1 - price) * qualities.max()
    return max(boost for boost, quality in zip(BOOSTS, qualities, strict=True) if quality >= allowed)


def _quality(
    scores: npt.NDArray[np.float32],
    targets: npt.NDArray[np.integer[Any]],
    histories: Sequence[npt.NDArray[np.integer[Any]]],
) -> float:
    """The sum over the queries."""
    return float(metrics.ndcg(metrics.rank_targets(scores, targets, histories), CUT_OFF).sum())
