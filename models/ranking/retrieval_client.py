"""Asks a retrieval SavedModel what it would have shown at moments of the past."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking import requests
from homefeed.models.requests import UNKNOWN
from homefeed.models.sequences import Sequences

_BATCH = 256


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
        self, sequences: Sequences, moments: requests.Moments, k: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Rows [num_moments, k] int32, 0 where there is no more, and scores [num_moments, k] float32."""
        rows = np.zeros((len(moments), k), np.int32)
        scores = np.full((len(moments), k), np.finfo(np.float32).min, np.float32)
        past = moments.cut - sequences.row_splits[moments.row]
        by_length = np.argsort(past, kind="stable")  # A batch is padded to its longest history.
        for start in range(0, len(moments), _BATCH):
            which = by_length[start : start + _BATCH]
            found = self._retrieve(**self._request(sequences, moments[which], int(past[which].max()), k))
            item_ids = found["item_ids"].numpy()
            rows[which, : item_ids.shape[1]] = np.vectorize(self._rows.get, otypes=[np.int32])(item_ids)
            scores[which, : item_ids.shape[1]] = found["scores"].numpy()
        return rows, scores

    def _request(self, sequences: Sequences, moments: requests.Moments, longest: int, k: int) -> dict[str, Any]:
        arrays = requests.features(sequences, moments, max(1, longest))
        arrays |= {name: arrays[name][:, ::-1] for name in arrays if name.startswith("history")}
        arrays["history"] = self._item_ids[arrays["history"]]
        arrays["history_event_type"] = _strings(sequences, "event_type")[arrays["history_event_type"]]
        for name in sequences.categorical:
            arrays[f"user_{name}"] = _strings(sequences, name)[arrays[f"user_{name}"]]
        arrays["k"] = np.full(len(moments), k, np.int32)
        arrays.setdefault("query_token_ids", np.zeros((len(moments), 1), np.int32))
        nothing = np.full((len(moments), 1), b"", object)
        inputs = {}
        for name, spec in self._inputs.items():
            array = nothing if name.startswith("filter_") else arrays[name]
            array = array[:, 0] if spec.shape.rank < array.ndim else array
            inputs[name] = tf.constant(array.tolist() if array.dtype == object else array, spec.dtype)
        return inputs


def _strings(sequences: Sequences, name: str) -> npt.NDArray[np.object_]:
    names = (word.encode() for word in sequences.vocabularies.get(name, ()))
    return np.array([b"", UNKNOWN, *names], object)
