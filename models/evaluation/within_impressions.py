"""How well scores order what was shown: per impression, tied scores in expectation over random tie-breaking."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.evaluation.metrics import Floats, Ranks, mrr, ndcg

METRICS = ("auc", "mrr", "ndcg@5", "ndcg@10")


def within_impressions(
    scores: npt.NDArray[np.floating[Any]], clicked: npt.NDArray[np.bool_], row_splits: npt.NDArray[np.int64]
) -> dict[str, Floats]:
    """The four metrics of MIND (Wu et al., 2020), each [num_impressions] float64.

    `auc`: how often what was taken stands above what was left. `mrr`: the mean of one over the rank of what was
    taken. `ndcg@k`: with gains of 1.

    Args:
        scores: [num_shown], higher is better.
        clicked: [num_shown]; every impression has both.
        row_splits: [num_impressions + 1], impression r is `[row_splits[r] : row_splits[r + 1]]`.

    Example:
        >>> found = within_impressions(np.array([3.0, 2.0, 1.0]), np.array([False, True, False]), np.array([0, 3]))
        >>> {name: values.round(4).tolist() for name, values in found.items()}
        {'auc': [0.5], 'mrr': [0.5], 'ndcg@5': [0.6309], 'ndcg@10': [0.6309]}
    """
    found: dict[str, list[float]] = {name: [] for name in METRICS}
    for start, stop in itertools.pairwise(row_splits):
        shown, taken = scores[start:stop], clicked[start:stop]
        ranks = _ranks(shown, taken)
        found["auc"].append(_auc(shown[taken], shown[~taken]))
        found["mrr"].append(float(mrr(ranks, len(shown)).mean()))
        for k in (5, 10):
            found[f"ndcg@{k}"].append(float(ndcg(ranks, k).sum() / _ideal(int(taken.sum()), k)))
    return {name: np.array(values) for name, values in found.items()}


def _ranks(scores: npt.NDArray[np.floating[Any]], taken: npt.NDArray[np.bool_]) -> Ranks:
    """Of each of what was taken."""
    above = (scores[None] > scores[taken][:, None]).sum(axis=1)
    tied = (scores[None] == scores[taken][:, None]).sum(axis=1) - 1
    return Ranks(above.astype(np.int64), tied.astype(np.int64))


def _auc(taken: npt.NDArray[np.floating[Any]], left: npt.NDArray[np.floating[Any]]) -> float:
    difference = taken[:, None] - left[None]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def _ideal(num_taken: int, k: int) -> float:
    return float((1 / np.log2(np.arange(2, min(num_taken, k) + 2))).sum())
