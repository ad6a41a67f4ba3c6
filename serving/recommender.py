"""Retrieve, then rank: what turns a request into a list, wherever the models run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.requests import Request, batch_inputs
from serving.predictors import Predictor

RETRIEVAL, RANKING = "retrieval", "ranking"


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """One place of a list.

    Attributes:
        score: what the list is sorted by.
        probability: that the user likes it, if shown.
    """

    item_id: str
    title: str
    score: float
    probability: float


@dataclasses.dataclass(frozen=True)
class Candidates:
    """What retrieval found and what ranking made of it, in retrieval's order.

    Attributes:
        item_ids: [batch_size, num_candidates] object (bytes); b"" where there was nothing left to retrieve.
        titles: [batch_size, num_candidates] object (bytes).
        retrieval_scores: [batch_size, num_candidates] float32.
        scores: [batch_size, num_candidates] float32, by which a page is sorted.
        probabilities: [batch_size, num_candidates] float32.
    """

    item_ids: npt.NDArray[np.object_]
    titles: npt.NDArray[np.object_]
    retrieval_scores: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]


class Recommender:
    """Asks the retrieval model for candidates and the ranking model for their order.

    Args:
        predictor: where the two models are.
        num_candidates: how many candidates are ranked.
    """

    def __init__(self, predictor: Predictor, num_candidates: int = 100):
        self._predictor = predictor
        self._num_candidates = num_candidates
        self._retrieve_inputs = predictor.inputs(RETRIEVAL, "retrieve")
        self._rank_inputs = predictor.inputs(RANKING, "rank")

    def candidates(self, requests: Sequence[Request]) -> Candidates:
        """Retrieves and ranks; nothing of a request's history is among them."""
        retrieved = self.retrieve(requests, self._num_candidates)
        inputs: dict[str, Any] = batch_inputs(requests, self._rank_inputs)
        inputs["candidates"] = retrieved["item_ids"]
        inputs["retrieval_scores"] = retrieved["scores"]
        ranked = self._predictor.predict(RANKING, "rank", inputs)
        return Candidates(
            retrieved["item_ids"],
            retrieved["titles"],
            retrieved["scores"],
            ranked["scores"],
            ranked["probabilities"],
        )

    def retrieve(self, requests: Sequence[Request], k: int) -> dict[str, npt.NDArray[Any]]:
        """The outputs of the signature `retrieve`."""
        inputs = batch_inputs(requests, self._retrieve_inputs)
        inputs["k"] = np.full(len(requests), k, np.int32)
        return self._predictor.predict(RETRIEVAL, "retrieve", inputs)

    def recommend(self, requests: Sequence[Request], k: int = 10) -> list[list[Recommendation]]:
        """For each request at most k items, best first."""
        found = self.candidates(requests)
        order = np.argsort(-found.scores, axis=1, kind="stable")[:, :k]
        return [
            [
                Recommendation(
                    found.item_ids[row, place].decode(),
                    found.titles[row, place].decode(),
                    float(found.scores[row, place]),
                    float(found.probabilities[row, place]),
                )
                for place in places
                if found.item_ids[row, place]
            ]
            for row, places in enumerate(order)
        ]
