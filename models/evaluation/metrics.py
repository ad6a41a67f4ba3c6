"""Full-ranking metrics of queries that have one right answer each; tied scores count in expectation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

Scores = Callable[[slice], npt.NDArray[np.float32]]
"""Some of the queries → their [num_queries, num_rows] scores, so that not all of them are held at a time."""

MAX_SCORES = 50_000_000  # That are held at a time: 200 MB.


@dataclasses.dataclass(frozen=True)
class Ranks:
    """Where each query's target stands among its candidates.

    A target with `above` candidates before it and `tied` others at its own score has, under random
    tie-breaking, each of the ranks `above + 1 … above + tied + 1` with equal probability.

    Attributes:
        above: [num_queries] int64, candidates that score strictly higher.
        tied: [num_queries] int64, other candidates with the very same score.
    """

    above: Ints
    tied: Ints

    def __getitem__(self, mask: npt.NDArray[np.bool_]) -> Ranks:
        """The queries that a mask or an index selects: a slice of a report."""
        return Ranks(self.above[mask], self.tied[mask])


def rank_targets(
    scores: npt.NDArray[np.floating[Any]],
    targets: npt.NDArray[np.integer[Any]],
    excluded: Sequence[npt.NDArray[np.integer[Any]]],
) -> Ranks:
    """Ranks each target among all rows but row 0 and the query's excluded ones.

    Args:
        scores: [num_queries, num_rows], higher is better; finite or -inf, NaN counts as -inf.
        targets: [num_queries] rows. A target that is row 0 or excluded itself can never be retrieved: a miss.
        excluded: for each query the rows that are no candidates (what the user has already had).

    Example:
        >>> ranks = rank_targets(np.array([[9.0, 3.0, 1.0, 1.0, 8.0]]), np.array([2]), [np.array([4])])
        >>> ranks.above.tolist(), ranks.tied.tolist()  # Row 1 is above, row 3 is tied.
        ([1], [1])
    """
    num_queries, num_rows = scores.shape
    above, tied = np.zeros(num_queries, np.int64), np.zeros(num_queries, np.int64)
    for query, (target, seen) in enumerate(zip(targets, excluded, strict=True)):
        hidden = np.union1d(seen, [0]).astype(np.int64)
        if target in hidden:
            above[query] = num_rows
            continue
        counts = _compared(scores[query], scores[query, target]) - _compared(
            scores[query, hidden], scores[query, target]
        )
        above[query], tied[query] = counts - (0, 1)  # The target is tied with itself.
    return Ranks(above, tied)


def _compared(scores: npt.NDArray[np.floating[Any]], target: np.floating[Any]) -> Ints:
    """How many of some scores are above the target's, and how many equal to it; NaN counts as -inf.

    In as few passes as can be: of a large catalogue's scores they are most of what an evaluation costs.
    """
    if np.isnan(target) or target == -np.inf:
        is_lowest = np.isnan(scores) | (scores == -np.inf)
        return np.array([np.count_nonzero(~is_lowest), np.count_nonzero(is_lowest)])
    return np.array([np.count_nonzero(scores > target), np.count_nonzero(scores == target)])


def parts(num_queries: int, num_rows: int) -> Iterator[slice]:
    """Cuts queries so that no part has more than MAX_SCORES scores, or only one query."""
    size = max(1, MAX_SCORES // num_rows)
    return (slice(start, start + size) for start in range(0, num_queries, size))


def rank_in_parts(
    scores: Scores,
    targets: npt.NDArray[np.integer[Any]],
    excluded: Sequence[npt.NDArray[np.integer[Any]]],
    num_rows: int,
) -> Ranks:
    """As `rank_targets`, of scores that are too many to be held at a time."""
    return joined(
        [rank_targets(scores(part), targets[part], excluded[part]) for part in parts(len(targets), num_rows)]
    )


def joined(found: Sequence[Ranks]) -> Ranks:
    """The ranks of all parts behind each other."""
    empty = np.empty(0, np.int64)
    return Ranks(
        np.concatenate([empty, *(ranks.above for ranks in found)]),
        np.concatenate([empty, *(ranks.tied for ranks in found)]),
    )


def hit_rate(ranks: Ranks, k: int) -> Floats:
    """[num_queries] probability that the target is among the first k; with one target also Recall@k.

    Example:
        >>> hit_rate(Ranks(np.array([1]), np.array([3])), 2).tolist()  # Rank 2, 3, 4 or 5.
        [0.25]
    """
    return np.clip(k - ranks.above, 0, ranks.tied + 1) / (ranks.tied + 1)


def ndcg(ranks: Ranks, k: int) -> Floats:
    """[num_queries] expected `1 / log2(1 + rank)` of the target, 0 beyond k.

    Example:
        >>> ndcg(Ranks(np.array([0, 2]), np.array([0, 0])), 10).round(6).tolist()  # Ranks 1 and 3.
        [1.0, 0.5]
    """
    return _expected_gain(ranks, 1 / np.log2(np.arange(2, k + 2)))


def mrr(ranks: Ranks, k: int) -> Floats:
    """[num_queries] expected `1 / rank` of the target, 0 beyond k."""
    return _expected_gain(ranks, 1 / np.arange(1, k + 1))


def summarize(ranks: Ranks) -> dict[str, float]:
    """Means over the queries: the four figures of every results table. NaN where there is no query."""
    per_query = {
        "hr@10": hit_rate(ranks, 10),
        "ndcg@10": ndcg(ranks, 10),
        "mrr@10": mrr(ranks, 10),
        "recall@100": hit_rate(ranks, 100),
    }
    return {name: float(values.mean()) if len(values) else float("nan") for name, values in per_query.items()}


def paired_bootstrap(
    ours: Floats, theirs: Floats, *, num_samples: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean difference `ours - theirs` over the same queries, with its 95% interval.

    Example:
        >>> paired_bootstrap(np.array([1.0, 1.0]), np.array([0.5, 0.5]))
        (0.5, 0.5, 0.5)
    """
    difference = ours - theirs
    generator = np.random.default_rng(seed)
    means = np.array(
        [difference[generator.integers(len(difference), size=len(difference))].mean() for _ in range(num_samples)]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


def _expected_gain(ranks: Ranks, gains: Floats) -> Floats:
    """Mean of `gains[rank - 1]` over the tied ranks, by differences of the running sum."""
    total = np.concatenate([[0.0], np.cumsum(gains)])
    first = np.minimum(ranks.above, len(gains))
    last = np.minimum(ranks.above + ranks.tied + 1, len(gains))
    return (total[last] - total[first]) / (ranks.tied + 1)
