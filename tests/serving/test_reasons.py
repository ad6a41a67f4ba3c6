"""Why an item is listed, against a retrieval model whose cosines are written down."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from homefeed.serving.reasons import reasons_for

NEIGHBOURS = {  # Item → its neighbours with their cosines.
    "a": {"x": 0.9, "y": 0.2, "z": -0.3},
    "b": {"y": 0.8, "x": 0.5, "z": -0.1},
    "unknown": {},
}


class Similar:
    """Answers `similar_items` only."""

    def __init__(self, has_retrieval: bool = True, signature: str = "similar_items"):
        self._has_retrieval, self._signature = has_retrieval, signature

    def serves(self, model: str) -> bool:
        return self._has_retrieval and model == "retrieval"

    def inputs(self, model: str, signature: str) -> dict[str, Any]:
        return {self._signature: {"item_ids": None}}[signature]

    def predict(self, model: str, signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        assert signature == "similar_items"
        rows = [list(NEIGHBOURS[item_id.decode()].items()) for item_id in inputs["item_ids"]]
        padded = [row + [("", -3e38)] * (3 - len(row)) for row in rows]
        return {
            "item_ids": np.array([[name.encode() for name, _ in row] for row in padded], object),
            "scores": np.array([[score for _, score in row] for row in padded]),
        }


def test_each_item_is_listed_because_of_the_nearest_of_the_history() -> None:
    found = reasons_for(Similar(), ["x", "y", "z", "far away"], ["a", "unknown", "b"])
    assert found.because_of == {"x": "a", "y": "b"}  # z is like neither: both cosines are below 0.
    assert found.unknown == ("unknown",)


def test_without_a_history_or_a_retrieval_model_nothing_is_said() -> None:
    assert reasons_for(Similar(), ["x"], []).because_of == {}
    assert reasons_for(Similar(has_retrieval=False), ["x"], ["a"]).because_of == {}
    assert reasons_for(Similar(signature="retrieve"), ["x"], ["a"]).because_of == {}
