"""What turns a request into a list, wherever the models run: one call of the fused model, or retrieve, then rank."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.requests import Request, TensorSpec, batch_inputs
from homefeed.serving.predictors import Predictor

RETRIEVAL, RANKING, FUSED = "retrieval", "ranking", "fused"


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
    """Asks the fused model where it is served; else the retrieval model for candidates and ranking for their order.

    Args:
        predictor: where the models are.
        num_candidates: how many candidates are ranked; the fused model knows its own number.
    """

    def __init__(self, predictor: Predictor, num_candidates: int = 100):
        self._predictor = predictor
        self._num_candidates = num_candidates
        self._is_fused = predictor.serves(FUSED)
        self._specs: dict[tuple[str, str], dict[str, TensorSpec]] = {}

    def recommend(self, requests: Sequence[Request], k: int = 10) -> list[list[Recommendation]]:
        """For each request at most k items, best first."""
        return self.recommend_at_once(requests, k) if self._is_fused else self.recommend_in_two_steps(requests, k)

    def recommend_at_once(self, requests: Sequence[Request], k: int = 10) -> list[list[Recommendation]]:
        """`recommend` by one call of the fused model."""
        inputs = batch_inputs(requests, self._inputs(FUSED, "recommend"))
        inputs["k"] = np.full(len(requests), k, np.int32)
        found = self._predictor.predict(FUSED, "recommend", inputs)
        columns = (found[name] for name in ("item_ids", "titles", "scores", "probabilities"))
        # A server that joins requests answers all of them with the largest k among them.
        return [_page(*row) for row in zip(*(column[:, :k] for column in columns), strict=True)]

    def recommend_in_two_steps(self, requests: Sequence[Request], k: int = 10) -> list[list[Recommendation]]:
        """`recommend` by a call of retrieval and one of ranking."""
        found = self.candidates(requests)
        order = np.argsort(-found.scores, axis=1, kind="stable")[:, :k]
        columns = (found.item_ids, found.titles, found.scores, found.probabilities)
        best = (np.take_along_axis(column, order, axis=1) for column in columns)
        return [_page(*row) for row in zip(*best, strict=True)]

    def candidates(self, requests: Sequence[Request]) -> Candidates:
        """Retrieves and ranks; nothing of a request's history is among them."""
        retrieved = self.retrieve(requests, self._num_candidates)
        inputs: dict[str, Any] = batch_inputs(requests, self._inputs(RANKING, "rank"))
        inputs["candidates"] = retrieved["item_ids"]
        inputs["retrieval_scores"] = retrieved["scores"]
        ranked = self._predictor.predict(RANKING, "rank", inputs)
        num_candidates = retrieved["item_ids"].shape[1]
        return Candidates(
            retrieved["item_ids"],
            retrieved["titles"],
            retrieved["scores"],
            ranked["scores"][:, :num_candidates],
            ranked["probabilities"][:, :num_candidates],
        )

    def retrieve(self, requests: Sequence[Request], k: int) -> dict[str, npt.NDArray[Any]]:
        """The outputs of the signature `retrieve`."""
        inputs = batch_inputs(requests, self._inputs(RETRIEVAL, "retrieve"))
        inputs["k"] = np.full(len(requests), k, np.int32)
        found = self._predictor.predict(RETRIEVAL, "retrieve", inputs)
        return {name: column[:, :k] if column.ndim > 1 else column for name, column in found.items()}

    def _inputs(self, model: str, signature: str) -> dict[str, TensorSpec]:
        key = (model, signature)
        if key not in self._specs:
            self._specs[key] = self._predictor.inputs(model, signature)
        return self._specs[key]


def _page(
    item_ids: npt.NDArray[np.object_],
    titles: npt.NDArray[np.object_],
    scores: npt.NDArray[np.float32],
    probabilities: npt.NDArray[np.float32],
) -> list[Recommendation]:
    """A list without the places for which there was no item."""
    return [
        Recommendation(item_id.decode(), title.decode(), float(score), float(probability))
        for item_id, title, score, probability in zip(item_ids, titles, scores, probabilities, strict=True)
        if item_id
    ]
