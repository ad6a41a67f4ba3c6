"""The items that can be shown, as the arrays that models work on."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

ALWAYS = np.iinfo(np.int64).min
"""`available_from` of an item without one."""
NEVER = np.iinfo(np.int64).max
"""Of one that nobody may be shown, whatever the time."""


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """Every item of the items table, in the table's order, behind a row 0 that stands for "none".

    Row 0 is padding and every unknown id: its arrays are zero or empty, and nothing ever retrieves it.
    `num_rows` below is the number of items + 1.

    Attributes:
        item_ids: [num_rows] object (bytes, UTF-8).
        titles: [num_rows] object (bytes, UTF-8).
        token_ids: [num_rows, item_tokens] int32, the item's text without [CLS] and [SEP], 0-padded.
        categorical: name → [num_rows, num_values] int32 positions in `vocabularies[name]`, 0-padded; position
            0 is padding, 1 is out-of-vocabulary. Holds `categories` and every declared category feature.
        numeric: name → [num_rows, size] float32; NaN where unknown. Numbers have size 1, embeddings their own.
        vocabularies: name → the strings behind `categorical`, without the two reserved positions: position p
            stands for `vocabularies[name][p - 2]`. Learnt from the whole items table.
        train_counts: [num_rows] int64, interactions in the training split; 0: never seen in training.
        text_vectors: [num_rows, size] float32, what the text model makes of each item, 0 for one without a text;
            empty where no text model has read the catalogue.
        available_from: [num_rows] int64 Unix seconds, ALWAYS where nothing is said, NEVER of an item that
            nobody may be shown; empty where nothing is said of any item.
    """

    item_ids: npt.NDArray[np.object_]
    titles: npt.NDArray[np.object_]
    token_ids: npt.NDArray[np.int32]
    categorical: dict[str, npt.NDArray[np.int32]]
    numeric: dict[str, npt.NDArray[np.float32]]
    vocabularies: dict[str, tuple[str, ...]]
    train_counts: npt.NDArray[np.int64]
    text_vectors: npt.NDArray[np.float32] = dataclasses.field(default_factory=lambda: np.empty((0, 0), np.float32))
    available_from: npt.NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def num_rows(self) -> int:
        """Number of items + 1."""
        return len(self.item_ids)
