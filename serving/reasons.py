"""Why an item is in a list: what of the history it is most like."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from homefeed.serving.predictors import Predictor
from homefeed.serving.recommender import RETRIEVAL

NUM_SIMILAR = 500  # Neighbours of each event that are looked at.


@dataclasses.dataclass(frozen=True)
class Reasons:
    """What can be said of a list.

    Attributes:
        because_of: item of the list → the item of the history that it is nearest to; nothing where none is near.
        unknown: items of the history that the models do not know.
    """

    because_of: Mapping[str, str]
    unknown: tuple[str, ...]


def reasons_for(predictor: Predictor, listed: Sequence[str], history: Sequence[str]) -> Reasons:
    """Asks the retrieval model's `similar_items`; without that, or a history, there are no reasons."""
    if not history or not predictor.serves(RETRIEVAL) or not _tells_likeness(predictor):
        return Reasons({}, ())
    inputs = {
        "item_ids": np.array([item_id.encode() for item_id in history], object),
        "k": np.full(len(history), NUM_SIMILAR, np.int32),
    }
    found = predictor.predict(RETRIEVAL, "similar_items", inputs)
    nearest: dict[str, tuple[float, str]] = {}
    for item_id, neighbours, scores in zip(history, found["item_ids"], found["scores"], strict=True):
        for neighbour, score in zip(neighbours, scores, strict=True):
            nearest[neighbour.decode()] = max(nearest.get(neighbour.decode(), (0.0, "")), (float(score), item_id))
    unknown = [item_id for item_id, (first, *_) in zip(history, found["item_ids"], strict=True) if not first]
    found_near = {item_id: nearest[item_id][1] for item_id in listed if item_id in nearest}
    return Reasons({item_id: near for item_id, near in found_near.items() if near}, tuple(unknown))


def _tells_likeness(predictor: Predictor) -> bool:
    try:
        return bool(predictor.inputs(RETRIEVAL, "similar_items"))
    except KeyError:  # A retrieval model of somebody else.
        return False
