"""What models answer to requests whose right answer is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from homefeed.models.evaluation import metrics
from homefeed.models.requests import Request
from homefeed.serving.recommender import Recommender

PAGE_LENGTH = 10


@dataclasses.dataclass(frozen=True)
class Answers:
    """What models said to requests whose right answer is known.

    Attributes:
        retrieval: ranks by retrieval alone.
        ranking: ranks by retrieval and ranking.
        pages: [num_requests, 10] object (bytes), best first; b"" where there is no more.
        probabilities: [num_requests] float64, of the right answer; NaN where it was not retrieved.
    """

    retrieval: metrics.Ranks
    ranking: metrics.Ranks
    pages: npt.NDArray[np.object_]
    probabilities: npt.NDArray[np.float64]


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
    retrieval, ranking = [], []
    pages: list[npt.NDArray[np.object_]] = [np.empty((0, PAGE_LENGTH), object)]
    probabilities = [np.empty(0)]
    for start in range(0, len(requests), batch_size):
        batch = slice(start, start + batch_size)
        found = recommender.candidates(requests[batch])
        retrieval.append(ranks_in(found.item_ids, found.retrieval_scores, targets[batch]))
        ranking.append(ranks_in(found.item_ids, found.scores, targets[batch]))
        best = np.argsort(-found.scores, axis=1, kind="stable")[:, :PAGE_LENGTH]
        page = np.full((len(best), PAGE_LENGTH), b"", object)
        page[:, : best.shape[1]] = np.take_along_axis(found.item_ids, best, axis=1)
        pages.append(page)
        places = found.item_ids == targets[batch, None]
        known = np.where(places, found.probabilities, -np.inf).max(axis=1, initial=-np.inf)
        probabilities.append(np.where(np.isfinite(known), known, np.nan).astype(np.float64))
    return Answers(
        metrics.joined(retrieval), metrics.joined(ranking), np.concatenate(pages), np.concatenate(probabilities)
    )


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
