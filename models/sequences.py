"""What users did, in order, as the ragged arrays that models learn from."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

_EVENT_ARRAYS = ("item_index", "timestamp", "value", "event_type_index", "positive", "query_token_ids")


@dataclasses.dataclass(frozen=True)
class Sequences:
    """One row a user of one split: the events before the split, then the events in it.

    Event arrays are flat, `[num_events]`; row r is `[row_splits[r] : row_splits[r + 1]]`, oldest first, and its
    first `num_history[r]` events happened before the split (0 in the training split): they are context, and
    never a target.

    Attributes:
        user_ids: [num_users] object (bytes, UTF-8).
        row_splits: [num_users + 1] int64.
        num_history: [num_users] int64.
        item_index: [num_events] int32 rows of the Catalogue; 0: an item that is not in it.
        timestamp: [num_events] int64, Unix seconds.
        value: [num_events] float32 (rating, dwell seconds, price); NaN where there is none.
        event_type_index: [num_events] int32 positions in `vocabularies["event_type"]`: 0 none, 1 unknown.
        positive: [num_events] bool, the interaction counts as liked (`positive` in dataset.yaml).
        categorical: user feature → [num_users, num_values] int32, as in Catalogue.
        numeric: user feature → [num_users, size] float32, NaN where unknown.
        vocabularies: name → strings behind `event_type` and `categorical`; position p is `[name][p - 2]`.
            Learnt from the training split's events and users alone.
        token_ids: [num_users, user_tokens] int32, the text of the user's features, 0-padded.
        query_token_ids: [num_events, query_tokens] int32, what the user searched for right before the event,
            0-padded; None where the data has no queries.
    """

    user_ids: npt.NDArray[np.object_]
    row_splits: npt.NDArray[np.int64]
    num_history: npt.NDArray[np.int64]
    item_index: npt.NDArray[np.int32]
    timestamp: npt.NDArray[np.int64]
    value: npt.NDArray[np.float32]
    event_type_index: npt.NDArray[np.int32]
    positive: npt.NDArray[np.bool_]
    categorical: dict[str, npt.NDArray[np.int32]]
    numeric: dict[str, npt.NDArray[np.float32]]
    vocabularies: dict[str, tuple[str, ...]]
    token_ids: npt.NDArray[np.int32]
    query_token_ids: npt.NDArray[np.int32] | None = None

    @property
    def num_users(self) -> int:
        """Number of rows."""
        return len(self.user_ids)

    def events_at(self, positions: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Every event array, at these positions: what `dataclasses.replace` needs to choose or reorder events."""
        arrays = {name: getattr(self, name) for name in _EVENT_ARRAYS}
        return {name: array[positions] for name, array in arrays.items() if array is not None}

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """[num_targets] int64 positions, in the event arrays, of the events that happened in the split."""
        starts = self.row_splits[:-1] + self.num_history
        return np.concatenate(
            [np.arange(start, stop) for start, stop in zip(starts, self.row_splits[1:], strict=True)]
            or [np.empty(0, np.int64)]
        ).astype(np.int64)
