"""From requests to lists: one call of the fused model, or `retrieve`, then `rank`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.requests import Request, TensorSpec, batch_inputs
from homefeed.schemas.errors import HomefeedError
from homefeed.serving.predictors import LocalPredictor, Predictor

RETRIEVAL, RANKING, FUSED = "retrieval", "ranking", "fused"
_NUM_CANDIDATES = "num_candidates/.ATTRIBUTES/VARIABLE_VALUE"  # Where a SavedModel keeps Fused.num_candidates.


class FusedModelError(HomefeedError, ValueError):
    """A fused model does not hold what it should."""


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """One place of a list.

    Attributes:
        score: what the list is sorted by.
        probability: that the user likes it, if shown.
        source: what the list was made from: `history`, `features` or `popular`, with `+query` where a query tells.
    """

    item_id: str
    title: str
    score: float
    probability: float
    source: str = ""


@dataclasses.dataclass(frozen=True)
class Candidates:
    """What retrieval found and what ranking made of it.

    Attributes:
        item_ids: [batch_size, num_candidates] object (bytes); b"" where there was nothing left to retrieve.
        titles: [batch_size, num_candidates] object (bytes).
        retrieval_scores: [batch_size, num_candidates] float32.
        scores: [batch_size, num_candidates] float32, by which a page is sorted.
        probabilities: [batch_size, num_candidates] float32.
        source: [batch_size] object (bytes), as in `Recommendation`.
    """

    item_ids: npt.NDArray[np.object_]
    titles: npt.NDArray[np.object_]
    retrieval_scores: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    source: npt.NDArray[np.object_]


class Recommender:
    """Asks the fused model where it is served; else the retrieval model for candidates and ranking for their order.

    Args:
        predictor: where the models are.
        num_candidates: how many candidates `candidates` gives, and how many are ranked where there is no fused
            model, which knows its own number (`num_candidates_of`).
    """

    def __init__(self, predictor: Predictor, num_candidates: int | None = None):
        self._predictor = predictor
        self._num_candidates = num_candidates
        self._is_fused = predictor.serves(FUSED)
        self._specs: dict[tuple[str, str], dict[str, TensorSpec]] = {}

    @classmethod
    def of_saved_model(cls, folder: pathlib.Path) -> Recommender:
        """The fused model of a folder, in this process."""
        return cls(LocalPredictor({FUSED: folder}), num_candidates_of(folder))

    def recommend(self, requests: Sequence[Request], k: int = 10) -> list[list[Recommendation]]:
        """For each request at most k items, best first."""
        return self.recommend_at_once(requests, k) if self._is_fused else self.recommend_in_two_steps(requests, k)

    def recommend_at_once(self, requests: Sequence[Request], k: int = 10) -> list[list[Recommendation]]:
        """`recommend` by one call of the fused model."""
        found = self._fused(requests, k)
        columns = (found[name] for name in ("item_ids", "titles", "scores", "probabilities", "source"))
        return [_page(*row) for row in zip(*columns, strict=True)]

    def recommend_in_two_steps(self, requests: Sequence[Request], k: int = 10) -> list[list[Recommendation]]:
        """`recommend` by a call of retrieval and one of ranking."""
        found = self.candidates_in_two_steps(requests, k)
        order = np.argsort(-found.scores, axis=1, kind="stable")[:, :k]
        columns = (found.item_ids, found.titles, found.scores, found.probabilities)
        best = (np.take_along_axis(column, order, axis=1) for column in columns)
        return [_page(*row) for row in zip(*best, found.source, strict=True)]

    def candidates(self, requests: Sequence[Request]) -> Candidates:
        """All that is retrieved and ranked, as it is served; nothing of a request's history is among them."""
        if not self._is_fused:
            return self.candidates_in_two_steps(requests)
        found = self._fused(requests, self._number())
        return Candidates(*(found[field.name] for field in dataclasses.fields(Candidates)))

    def candidates_in_two_steps(self, requests: Sequence[Request], at_least: int = 0) -> Candidates:
        """`candidates` by a call of retrieval and one of ranking, in retrieval's order."""
        retrieved = self.retrieve(requests, max(at_least, self._number()))
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
            retrieved["source"],
        )

    def retrieve(self, requests: Sequence[Request], k: int) -> dict[str, npt.NDArray[Any]]:
        """The outputs of the signature `retrieve`."""
        inputs = batch_inputs(requests, self._inputs(RETRIEVAL, "retrieve"))
        inputs["k"] = np.full(len(requests), k, np.int32)
        found = self._predictor.predict(RETRIEVAL, "retrieve", inputs)
        return {name: column[:, :k] if column.ndim > 1 else column for name, column in found.items()}

    def rank(self, requests: Sequence[Request], candidates: npt.NDArray[np.object_]) -> dict[str, npt.NDArray[Any]]:
        """What the fused model makes of given candidates, such as those that were shown once.

        Args:
            requests: one a row.
            candidates: [batch_size, num_candidates] object (bytes), b"" for padding.

        Returns:
            `retrieval_scores`, `scores`, `probabilities` and what else the model says, [batch_size, num_candidates].
        """
        inputs: dict[str, Any] = batch_inputs(requests, self._inputs(FUSED, "rank"))
        return self._predictor.predict(FUSED, "rank", inputs | {"candidates": candidates})

    def _fused(self, requests: Sequence[Request], k: int) -> dict[str, npt.NDArray[Any]]:
        inputs = batch_inputs(requests, self._inputs(FUSED, "recommend"))
        inputs["k"] = np.full(len(requests), k, np.int32)
        found = self._predictor.predict(FUSED, "recommend", inputs)
        # A server that joins requests answers all of them with the largest k among them.
        return {name: column[:, :k] if column.ndim > 1 else column for name, column in found.items()}

    def _number(self) -> int:
        if self._num_candidates is None:
            raise ValueError("name num_candidates: the models do not say how many candidates are to be ranked")
        return self._num_candidates

    def _inputs(self, model: str, signature: str) -> dict[str, TensorSpec]:
        key = (model, signature)
        if key not in self._specs:
            self._specs[key] = self._predictor.inputs(model, signature)
        return self._specs[key]


def num_candidates_of(folder: pathlib.Path) -> int:
    """How many of retrieval's items a saved fused model ranks for a request, at least.

    Raises:
        FusedModelError: it does not say.
    """
    import tensorflow as tf

    variables = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    if not variables.has_tensor(_NUM_CANDIDATES):
        raise FusedModelError(
            f"{folder} was fused by an earlier homefeed and does not say how many candidates it ranks: "
            "`homefeed run` makes and pushes one that does"
        )
    return int(variables.get_tensor(_NUM_CANDIDATES))


def _page(
    item_ids: npt.NDArray[np.object_],
    titles: npt.NDArray[np.object_],
    scores: npt.NDArray[np.float32],
    probabilities: npt.NDArray[np.float32],
    source: bytes,
) -> list[Recommendation]:
    """A list without the places for which there was no item."""
    return [
        Recommendation(item_id.decode(), title.decode(), float(score), float(probability), source.decode())
        for item_id, title, score, probability in zip(item_ids, titles, scores, probabilities, strict=True)
        if item_id
    ]
