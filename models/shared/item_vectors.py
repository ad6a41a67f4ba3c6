"""Items as unit vectors that can be compared without TensorFlow: one file beside a retrieval model, read in place."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FILE = "assets.extra/item_vectors.npy"  # In the SavedModel's folder.
FLOOR = 1e-6


def write(folder: pathlib.Path, item_ids: npt.NDArray[np.object_], embeddings: npt.NDArray[np.floating[Any]]) -> None:
    """Writes them into a SavedModel's folder, `unit` and as float16.

    Args:
        folder: of the SavedModel.
        item_ids: [num_items] object (bytes).
        embeddings: [num_items, width] of the candidate tower.
    """
    longest = max(map(len, item_ids), default=1)
    table = np.empty(len(item_ids), [("item_id", f"S{longest}"), ("vector", np.float16, (embeddings.shape[1],))])
    table["item_id"], table["vector"] = item_ids.astype(bytes), unit(embeddings)
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, table)


def unit(embeddings: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """[num_items, width] of length 1.

    What all items have in common, such as being known at all, is taken off: a cosine of 0 is that of two items of
    which nothing else is known.
    """
    centred = embeddings - embeddings.mean(axis=0) if len(embeddings) else embeddings
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), FLOOR)


class ItemVectors:
    """Vectors of items by their ids; the file is mapped into memory, so that several processes share it.

    Args:
        folder: of the SavedModel; one without the file knows no item.
    """

    def __init__(self, folder: pathlib.Path | None):
        path = folder / FILE if folder else None
        is_there = path is not None and path.is_file()
        table = np.load(path, mmap_mode="r") if path and is_there else np.empty(0, [("vector", np.float16, (1,))])
        self._vectors = table["vector"]
        ids = table["item_id"].tolist() if is_there else []
        self._rows = {item_id.decode(): row for row, item_id in enumerate(ids)}

    def __len__(self) -> int:
        return len(self._rows)

    def of(self, item_ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """[num_items, width] float32 of length 1, or 0 where an item is not known."""
        rows = np.fromiter((self._rows.get(item_id, -1) for item_id in item_ids), np.int64, len(item_ids))
        found = np.zeros((len(rows), self._vectors.shape[1]), np.float32)
        found[rows >= 0] = self._vectors[rows[rows >= 0]]
        return found
