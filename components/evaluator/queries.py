"""What an evaluation asks: for each event of a split that can be predicted, what its user was going to choose."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from homefeed.models.sequences import Sequences


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much is asked and tried, as Config describes it."""

    max_queries: int
    batch_size: int
    max_ease_items: int
    max_ease_seconds: float
    min_slice_queries: int


@dataclasses.dataclass(frozen=True)
class Queries:
    """The events of a split that can be predicted: in the catalogue, and new to their user.

    Attributes:
        rows: [num_queries] int64 rows of the Sequences.
        ends: [num_queries] int64 positions of the target events; what the row has before one is its history.
        targets: [num_queries] int64 rows of the Catalogue.
        histories: per query, the catalogue rows of its history.
    """

    rows: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    histories: list[npt.NDArray[np.int32]]

    def __len__(self) -> int:
        return len(self.rows)


def make_queries(sequences: Sequences, max_queries: int) -> Queries:
    """One query for each event of the split on an item that its user has not had before."""
    ends = sequences.targets
    rows = np.searchsorted(sequences.row_splits, ends, side="right") - 1
    histories = [sequences.item_index[sequences.row_splits[row] : end] for row, end in zip(rows, ends, strict=True)]
    targets = sequences.item_index[ends].astype(np.int64)
    valid = np.array([t > 0 and t not in h for t, h in zip(targets, histories, strict=True)], bool)
    kept = np.flatnonzero(valid)
    if len(kept) > max_queries:
        kept = kept[np.linspace(0, len(kept) - 1, max_queries).astype(np.int64)]
    # Equal lengths side by side: a batch is padded to its longest history.
    kept = kept[np.argsort([len(histories[query]) for query in kept], kind="stable")]
    return Queries(rows[kept], ends[kept], targets[kept], [histories[query] for query in kept])
