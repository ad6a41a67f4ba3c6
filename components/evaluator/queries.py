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
class GroupLimits:
    """What groups of users may lose, relatively (1: everything), and how many are enough to judge them."""

    base: float
    gap: float
    events: float
    min_users: int
    max_users: int


@dataclasses.dataclass(frozen=True)
class Queries:
    """The events of a split that can be predicted: in the catalogue, and new to their user.

    Attributes:
        rows: [num_queries] int64 rows of the Sequences.
        ends: [num_queries] int64 positions of the target events; what the row has before one is its history.
        targets: [num_queries] int64 rows of the Catalogue.
        histories: per query, the catalogue rows of its history.
        num_possible: how many there would be without a limit.
    """

    rows: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    histories: list[npt.NDArray[np.int32]]
    num_possible: int

    def __len__(self) -> int:
        return len(self.rows)


def make_queries(sequences: Sequences, max_queries: int) -> Queries:
    """One query for each event of the split on an item that its user has not had before."""
    ends = sequences.targets
    possible = ends[(sequences.item_index[ends] > 0) & sequences.is_first[ends]]
    kept = possible
    if len(kept) > max_queries:
        kept = kept[np.linspace(0, len(kept) - 1, max_queries).astype(np.int64)]
    rows = np.searchsorted(sequences.row_splits, kept, side="right") - 1
    # Equal lengths side by side: a batch is padded to its longest history.
    order = np.argsort(kept - sequences.row_splits[rows], kind="stable")
    kept, rows = kept[order], rows[order]
    histories = [sequences.item_index[start:end] for start, end in zip(sequences.row_splits[rows], kept, strict=True)]
    return Queries(rows, kept, sequences.item_index[kept].astype(np.int64), histories, len(possible))
