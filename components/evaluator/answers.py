"""What models answer to requests whose right answer is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.evaluation import metrics
from homefeed.models.requests import Request
from homefeed.serving.recommender import Candidates, Recommender

PAGE_LENGTH = 10


MIXES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, np.inf)
"""Of the weight that the served order gives to the expected value: from what comes next alone to the value alone."""


@dataclasses.dataclass(frozen=True)
class Page:
    """The first places of lists, best first.

    Attributes:
        item_ids: [num_requests, 10] object (bytes); b"" where there is no more.
        probabilities: [num_requests, 10] float64, of being liked; NaN where there is no more.
        values: [num_requests, 10] float64, expected; NaN where there is no more, or the models say none.
    """

    item_ids: npt.NDArray[np.object_]
    probabilities: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Answers:
    """What models said to requests whose right answer is known.

    Attributes:
        retrieval: ranks by retrieval alone.
        ranking: ranks by retrieval and ranking.
        page: what users would have seen.
        probabilities: [num_requests] float64, of the right answer being liked; NaN where it was not retrieved.
        values: [num_requests] float64, expected of the right answer; NaN where it was not retrieved.
        mixes: weight, as in MIXES → ranks and page under it; empty where the order knows no value.
    """

    retrieval: metrics.Ranks
    ranking: metrics.Ranks
    page: Page
    probabilities: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    mixes: Mapping[float, tuple[metrics.Ranks, Page]]


def ask(
    recommender: Recommender, requests: Sequence[Request], targets: npt.NDArray[np.object_], batch_size: int
) -> Answers:
    """Ranks the right answers of some requests.

    Args:
        recommender: asked in batches.
        requests: with histories that the right answers are not in.
        targets: [num_requests] object (bytes), the right answers.
        batch_size: requests in one call.
    """
    orders: dict[Any, list[tuple[metrics.Ranks, Page]]] = {}
    probabilities, values = [np.empty(0)], [np.empty(0)]
    for start in range(0, len(requests), batch_size):
        batch = slice(start, start + batch_size)
        found = recommender.candidates(requests[batch])
        by: dict[Any, npt.NDArray[np.float32]] = {"retrieval": found.retrieval_scores, "ranking": found.scores}
        by |= _mixed(found)
        for name, scores in by.items():
            orders.setdefault(name, []).append(
                (ranks_in(found.item_ids, scores, targets[batch]), _page(found, scores))
            )
        places = found.item_ids == targets[batch, None]
        probabilities.append(_of_target(found.probabilities, places))
        values.append(_of_target(found.expected_values, places))
    joined = {name: _joined(parts) for name, parts in orders.items()}
    nothing = _joined([])
    (retrieval, _), (ranking, page) = (joined.pop(name, nothing) for name in ("retrieval", "ranking"))
    return Answers(retrieval, ranking, page, np.concatenate(probabilities), np.concatenate(values), joined)


def _mixed(found: Candidates) -> dict[float, npt.NDArray[np.float32]]:
    """Weight, as in MIXES → scores."""
    present = found.item_ids != b""
    values, lift = found.expected_values[present], (found.scores - found.interests)[present]
    if not values @ lift:
        return {}
    weight = values @ lift / (values @ values)  # Scores are interests and weighted values, and nothing else.
    lowest = np.finfo(np.float32).min
    by = {mix: found.interests + mix * weight * found.expected_values for mix in MIXES if np.isfinite(mix)}
    by |= {np.inf: np.sign(weight) * found.expected_values}
    return {mix: np.where(present, scores, lowest) for mix, scores in by.items()}


def _page(found: Candidates, scores: npt.NDArray[np.float32]) -> Page:
    best = np.argsort(-scores, axis=1, kind="stable")[:, :PAGE_LENGTH]
    ids = np.full((len(best), PAGE_LENGTH), b"", object)
    ids[:, : best.shape[1]] = np.take_along_axis(found.item_ids, best, axis=1)
    columns = []
    for column in (found.probabilities, found.expected_values):
        chosen = np.full(ids.shape, np.nan)
        chosen[:, : best.shape[1]] = np.take_along_axis(column, best, axis=1)
        columns.append(np.where(ids == b"", np.nan, chosen))
    return Page(ids, *columns)


def _of_target(column: npt.NDArray[np.float32], places: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    known = np.where(places, column, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(np.isfinite(known), known, np.nan).astype(np.float64)


def _joined(parts: Sequence[tuple[metrics.Ranks, Page]]) -> tuple[metrics.Ranks, Page]:
    pages = [page for _, page in parts]
    ids = np.concatenate([np.empty((0, PAGE_LENGTH), object), *(page.item_ids for page in pages)])
    nothing = np.empty((0, PAGE_LENGTH))
    probabilities = np.concatenate([nothing, *(page.probabilities for page in pages)])
    values = np.concatenate([nothing, *(page.values for page in pages)])
    return metrics.joined([ranks for ranks, _ in parts]), Page(ids, probabilities, values)


def ranks_in(
    item_ids: npt.NDArray[np.object_], scores: npt.NDArray[np.float32], targets: npt.NDArray[np.object_]
) -> metrics.Ranks:
    """Ranks of targets among scored candidates; one that was not retrieved is a miss at every cut-off.

    Args:
        item_ids: [num_requests, num_candidates] object (bytes).
        scores: [num_requests, num_candidates] float32.
        targets: [num_requests] object (bytes).
    """
    places = item_ids == targets[:, None]
    found = places.any(axis=1)
    target_scores = scores[np.arange(len(scores)), places.argmax(axis=1)][:, None]
    above = np.where(found, (scores > target_scores).sum(axis=1), np.iinfo(np.int32).max)
    tied = np.where(found, (scores == target_scores).sum(axis=1) - 1, 0)
    return metrics.Ranks(above.astype(np.int64), tied.astype(np.int64))
