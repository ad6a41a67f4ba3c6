"""What users were shown, and what of it they took, as the ragged arrays that ranking learns from and is judged by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

MAX_POSITIONS = 100  # Places that are told apart; the last one stands for all behind it too.
OUTCOMES = ("acted", "liked", "hidden", "bought")


@dataclasses.dataclass(frozen=True)
class Exposures:
    """One row an impression of one split.

    Arrays of what was shown are flat, `[num_shown]`; impression r is `[row_splits[r] : row_splits[r + 1]]`.

    Attributes:
        user_ids: [num_impressions] object (bytes, UTF-8).
        timestamp: [num_impressions] int64, Unix seconds.
        row_splits: [num_impressions + 1] int64.
        item_index: [num_shown] int32 rows of the Catalogue; 0: an item that is not in it.
        position: [num_shown] int32, from 1, the first place of a page; 0: unknown.
        propensity: [num_shown] float32, the probability with which the item was shown there; NaN: unknown.
        clicked: [num_shown] bool, whether it was taken.
        outcomes: what else is known to have come of it (OUTCOMES) → [num_shown] bool; empty where nothing says so.
    """

    user_ids: npt.NDArray[np.object_]
    timestamp: npt.NDArray[np.int64]
    row_splits: npt.NDArray[np.int64]
    item_index: npt.NDArray[np.int32]
    position: npt.NDArray[np.int32]
    propensity: npt.NDArray[np.float32]
    clicked: npt.NDArray[np.bool_]
    outcomes: Mapping[str, npt.NDArray[np.bool_]] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.timestamp)

    def __getitem__(self, which: npt.NDArray[np.int64]) -> Exposures:
        """Some impressions, in this order."""
        lengths = np.diff(self.row_splits)[which]
        row_splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.arange(row_splits[-1]) - np.repeat(row_splits[:-1] - self.row_splits[which], lengths)
        of_items = ("item_index", "position", "propensity", "clicked")
        return Exposures(
            self.user_ids[which],
            self.timestamp[which],
            row_splits,
            **{name: getattr(self, name)[places] for name in of_items},
            outcomes={name: happened[places] for name, happened in self.outcomes.items()},
        )

    @property
    def impression(self) -> npt.NDArray[np.int64]:
        """[num_shown] the impression that each belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.row_splits))

    def contrasts(self) -> npt.NDArray[np.int64]:
        """Impressions that say what is better than what: something known was taken, something known was not."""
        known = self.item_index > 0
        taken, left = (
            np.bincount(self.impression, weights=known & clicked, minlength=len(self)) > 0
            for clicked in (self.clicked, ~self.clicked)
        )
        return np.flatnonzero(taken & left)
