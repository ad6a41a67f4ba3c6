"""From requests to lists: one call of the fused model, or `retrieve`, then `rank`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.requests import Request, TensorSpec, batch_inputs
from homefeed.schemas.errors import HomefeedError
from homefeed.serving.predictors import LocalPredictor, Predictor

RETRIEVAL, RANKING, FUSED = "retrieval", "ranking", "fused"
_NUM_CANDIDATES = "num_candidates/.ATTRIBUTES/VARIABLE_VALUE"  # Where a SavedModel keeps Fused.num_candidates.


class ObjectiveError(HomefeedError, ValueError):
    """A request asks for a list that the models cannot sort."""


class FusedModelError(HomefeedError, ValueError):
    """A fused model does not hold what it should."""


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """One place of a list.

    Attributes:
        score: what the list is sorted by.
        probability: that the user likes it, if they choose it.
        value: what it is expected to be worth to the objective, if they choose it.
        objective: what the list is sorted for; "": the model does not say.
        source: what the list was made from: `history`, `features` or `popular`, with `+query` where a query tells.
    """

    item_id: str
    title: str
    score: float
    probability: float
    source: str = ""
    value: float = 0.0
    objective: str = ""


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
        interests: [batch_size, num_candidates] float32, how likely each comes next; `scores` of a model that says no
            more.
        expected_values: [batch_size, num_candidates] float32; 0 of a model that has no objective.
        objective: [batch_size] object (bytes), as in `Recommendation`.
        probability_deviation: [batch_size, num_candidates] float32; NaN of a model that does not say.
    """

    item_ids: npt.NDArray[np.object_]
    titles: npt.NDArray[np.object_]
    retrieval_scores: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    source: npt.NDArray[np.object_]
    interests: npt.NDArray[np.float32]
    expected_values: npt.NDArray[np.float32]
    objective: npt.NDArray[np.object_]
    probability_deviation: npt.NDArray[np.float32]


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

    @property
    def knows_objectives(self) -> bool:
        """Whether a request may say what its list is sorted for."""
        return "objective" in self._inputs(*((FUSED, "recommend") if self._is_fused else (RANKING, "rank")))

    def recommend(self, requests: Sequence[Request], k: int = 10) -> list[list[Recommendation]]:
        """For each request at most k items, best first."""
        return self.recommend_at_once(requests, k) if self._is_fused else self.recommend_in_two_steps(requests, k)

    def recommend_at_once(self, requests: Sequence[Request], k: int = 10) -> list[list[Recommendation]]:
        """`recommend` by one call of the fused model."""
        found = self._fused(requests, k)
        return [_page(row) for row in _rows(_completed(found))]

    def recommend_in_two_steps(self, requests: Sequence[Request], k: int = 10) -> list[list[Recommendation]]:
        """`recommend` by a call of retrieval and one of ranking."""
        found = self.candidates_in_two_steps(requests, k)
        order = np.argsort(-found.scores, axis=1, kind="stable")[:, :k]
        columns = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
        best = {
            n: np.take_along_axis(column, order, 1) if column.ndim > 1 else column for n, column in columns.items()
        }
        return [_page(row) for row in _rows(best)]

    def candidates(self, requests: Sequence[Request]) -> Candidates:
        """All that is retrieved and ranked, as it is served; nothing of a request's history is among them."""
        if not self._is_fused:
            return self.candidates_in_two_steps(requests)
        found = self._fused(requests, self._number())
        return _candidates(found)

    def candidates_in_two_steps(self, requests: Sequence[Request], at_least: int = 0) -> Candidates:
        """`candidates` by a call of retrieval and one of ranking, in retrieval's order."""
        retrieved = self.retrieve(requests, max(at_least, self._number()))
        inputs: dict[str, Any] = self._ranked_inputs(requests, RANKING, "rank")
        inputs["candidates"] = retrieved["item_ids"]
        inputs["retrieval_scores"] = retrieved["scores"]
        ranked = self._predictor.predict(RANKING, "rank", inputs)
        num_candidates = retrieved["item_ids"].shape[1]
        cut = {name: column[:, :num_candidates] if column.ndim > 1 else column for name, column in ranked.items()}
        return _candidates(retrieved | {"retrieval_scores": retrieved["scores"]} | cut)

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
        inputs = self._ranked_inputs(requests, FUSED, "recommend")
        inputs["k"] = np.full(len(requests), k, np.int32)
        found = self._predictor.predict(FUSED, "recommend", inputs)
        # A server that joins requests answers all of them with the largest k among them.
        return {name: column[:, :k] if column.ndim > 1 else column for name, column in found.items()}

    def _number(self) -> int:
        if self._num_candidates is None:
            raise ValueError("name num_candidates: the models do not say how many candidates are to be ranked")
        return self._num_candidates

    def _ranked_inputs(self, requests: Sequence[Request], model: str, signature: str) -> dict[str, Any]:
        """Inputs of a model that ranks.

        Raises:
            ObjectiveError: a request has an objective, and the model knows none.
        """
        specs = self._inputs(model, signature)
        asked = {request.objective for request in requests} - {""}
        if asked and "objective" not in specs:
            raise ObjectiveError(
                f"the models were made without objectives and cannot sort for {', '.join(sorted(asked))}: "
                "`homefeed run` makes and pushes some that can"
            )
        return batch_inputs(requests, specs)

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


def _candidates(found: Mapping[str, npt.NDArray[Any]]) -> Candidates:
    completed = _completed(found)
    return Candidates(**{field.name: completed[field.name] for field in dataclasses.fields(Candidates)})


def _completed(found: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The outputs of a model, with what one of an earlier homefeed does not say."""
    nothing = {
        "interests": found["scores"],
        "expected_values": np.zeros_like(found["scores"]),
        "probability_deviation": np.full_like(found["scores"], np.nan),
        "objective": np.full(len(found["scores"]), b"", object),
    }
    return nothing | dict(found)


def _rows(found: Mapping[str, npt.NDArray[Any]]) -> list[dict[str, Any]]:
    return [{name: column[row] for name, column in found.items()} for row in range(len(found["scores"]))]


def _page(row: Mapping[str, Any]) -> list[Recommendation]:
    """A list without the places for which there was no item."""
    columns = (row[name] for name in ("item_ids", "titles", "scores", "probabilities", "expected_values"))
    source, objective = row["source"].decode(), row["objective"].decode()
    return [
        Recommendation(item_id.decode(), title.decode(), float(score), float(chance), source, float(value), objective)
        for item_id, title, score, chance, value in zip(*columns, strict=True)
        if item_id
    ]
