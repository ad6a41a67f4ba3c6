"""Asks a retrieval SavedModel what it would have shown at prediction points of the past."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.catalogue import Catalogue
from homefeed.models.requests import UNKNOWN
from homefeed.models.sequences import Sequences
from homefeed.models.shared import prediction_points
from homefeed.models.shared.prediction_points import RECENT, PredictionPoints
from homefeed.models.shared.request_specs import OF_CONTEXT, OF_EVENTS, OF_USERS

_BATCH = 256
# What a prediction point knows of the newest events → the input of the signature; features keep their names.
_INPUTS = {"recent_items": "history", "recent_timestamps": "history_timestamp"}


class RetrievalClient:
    """Calls the signature `retrieve` in batches.

    Args:
        folder: the SavedModel.
        catalogue: the one that it was trained with.
    """

    def __init__(self, folder: pathlib.Path, catalogue: Catalogue):
        self._model = tf.saved_model.load(str(folder))  # The signature dies with it.
        self._retrieve = self._model.signatures["retrieve"]
        self._inputs = self._retrieve.structured_input_signature[1]
        self._item_ids = catalogue.item_ids
        self._rows = {item_id: row for row, item_id in enumerate(catalogue.item_ids)}

    def __call__(
        self, sequences: Sequences, points: PredictionPoints, k: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Rows [num_points, k] int32, 0 where there is no more, and scores [num_points, k] float32."""
        rows = np.zeros((len(points), k), np.int32)
        scores = np.full((len(points), k), np.finfo(np.float32).min, np.float32)
        past = points.cut - sequences.row_splits[points.row]
        by_length = np.argsort(past, kind="stable")  # A batch is padded to its longest history.
        for start in range(0, len(points), _BATCH):
            which = by_length[start : start + _BATCH]
            found = self._retrieve(**self._request(sequences, points[which], int(past[which].max()), k))
            item_ids = found["item_ids"].numpy()
            rows[which, : item_ids.shape[1]] = np.vectorize(self._rows.get, otypes=[np.int32])(item_ids)
            scores[which, : item_ids.shape[1]] = found["scores"].numpy()
        return rows, scores

    def _request(self, sequences: Sequences, points: PredictionPoints, longest: int, k: int) -> dict[str, Any]:
        arrays = prediction_points.features(sequences, points, max(1, longest))
        recent = [name for name in arrays if name.startswith(RECENT)]
        arrays |= {_input(name): arrays.pop(name)[:, ::-1] for name in recent}
        arrays["history"] = self._item_ids[arrays["history"]]
        strings = {
            f"{prefix}{name}": values
            for prefix, named in (
                (OF_EVENTS, sequences.event_vocabularies),
                (OF_CONTEXT, sequences.event_vocabularies),
                (OF_USERS, sequences.vocabularies),
            )
            for name, values in named.items()
        }
        arrays |= {name: _strings(values)[arrays[name]] for name, values in strings.items() if name in arrays}
        arrays["k"] = np.full(len(points), k, np.int32)
        arrays.setdefault("query_token_ids", np.zeros((len(points), 1), np.int32))
        nothing = np.full((len(points), 1), b"", object)
        inputs = {}
        for name, spec in self._inputs.items():
            array = nothing if name.startswith("filter_") else arrays[name]
            array = array[:, 0] if spec.shape.rank < array.ndim else array
            inputs[name] = tf.constant(array.tolist() if array.dtype == object else array, spec.dtype)
        return inputs


def _input(name: str) -> str:
    return _INPUTS.get(name, f"{OF_EVENTS}{name.removeprefix(RECENT)}")


def _strings(vocabulary: tuple[str, ...]) -> npt.NDArray[np.object_]:
    return np.array([b"", UNKNOWN, *(word.encode() for word in vocabulary)], object)
