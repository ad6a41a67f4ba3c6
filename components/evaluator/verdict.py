"""Whether models may be served: what they must not lose against baselines and the models in service."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from homefeed.components.evaluator.measured import CONTENT, IN_SERVICE, POPULARITY, RANKING_ROW, RETRIEVAL_ROW, TEXT
from homefeed.components.evaluator.slices import NEW_ITEMS, NEW_USERS, is_guarded
from homefeed.models.evaluation import metrics

NUM_BOOTSTRAPS = 2_000


@dataclasses.dataclass(frozen=True)
class Margins:
    """The relative loss of NDCG@10 that is borne, against each rival."""

    popularity: float
    retrieval: float
    in_service: float
    slices: float  # Against the models in service in each guarded slice, and against simple lists for newcomers.


def judge(
    ranks: Mapping[str, metrics.Ranks],
    margins: Margins,
    slices: Mapping[str, npt.NDArray[np.bool_]] | None = None,
    weights: npt.NDArray[np.float64] | float = 1.0,
) -> list[str]:
    """Reasons against a blessing; empty if there are none.

    Chance differences are none: a loss counts when its whole 95% interval (paired bootstrap over queries) lies
    beyond the margin, and when it adds up to one target in the first place at least. A rival whose scores tie has a
    tiny share of a hit in each query, and no spread: its interval alone would close the gate for nothing.

    Args:
        ranks: method → ranks of the same targets.
        margins: how much may be lost.
        slices: name → [num_queries] bool, which queries are in it.
        weights: [num_queries] of each query: what its target is worth to the objective.
    """
    gains = {method: metrics.ndcg(found, 10) * weights for method, found in ranks.items()}
    ours = gains[RANKING_ROW]
    if not len(ours):
        return ["the eval split holds no event that could be predicted, so the models cannot be judged"]
    rivals = {POPULARITY: margins.popularity, RETRIEVAL_ROW: margins.retrieval, IN_SERVICE: margins.in_service}
    reasons = []
    for rival, margin in rivals.items():
        if rival in ranks or rival != IN_SERVICE:
            reasons += _losses(ours, gains[rival], rival, margin)
    for name, mask in (slices or {}).items():
        for rival in _rivals_in(name):
            if rival in ranks:
                reasons += _losses(ours[mask], gains[rival][mask], f"{rival} in slice {name!r}", margins.slices)
    return reasons


def _rivals_in(name: str) -> tuple[str, ...]:
    """What must not be lost against in a slice: newcomers are what simple lists are good at."""
    newcomers = (POPULARITY, CONTENT, TEXT) if name in (NEW_USERS, NEW_ITEMS) else ()
    return (*newcomers, IN_SERVICE) if is_guarded(name) else ()


def _losses(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64], rival: str, margin: float) -> list[str]:
    difference, low, high = metrics.paired_bootstrap(ours, theirs, num_samples=NUM_BOOTSTRAPS)
    lost = (1 - min(margin, 0)) * theirs.sum() - ours.sum()
    if high >= -margin * theirs.mean() or lost < 1:
        return []
    return [
        f"NDCG@10 of {RANKING_ROW} is {ours.mean():.4f}, more than {margin:.0%} below {theirs.mean():.4f} "
        f"of {rival}: difference {difference:+.4f}, 95% interval [{low:+.4f}, {high:+.4f}]"
    ]
