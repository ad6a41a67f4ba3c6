"""What users did, in order, as the ragged arrays that models learn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.schemas.features import Input
from homefeed.schemas.objectives import INTERACTIONS, Values

_EVENT_ARRAYS = ("item_index", "timestamp", "positive", "query_token_ids")


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
        event_categorical: event feature → [num_events] int32 positions in `event_vocabularies`: 0 none, 1 unknown.
        event_numeric: event feature → [num_events] float32; NaN where there is none.
        event_vocabularies: event feature → strings; position p is `[name][p - 2]`. Learnt from training events alone.
        positive: [num_events] bool, the interaction counts as liked (`positive` in dataset.yaml).
        categorical: user feature → [num_users, num_values] int32, as in Catalogue.
        numeric: user feature → [num_users, size] float32, NaN where unknown.
        vocabularies: user feature → strings behind `categorical`; position p is `[name][p - 2]`. Learnt from the
            users of the training split alone.
        inputs: what a request to a model of this data holds: serving input → its type and shape.
        objectives: name → what each outcome of an interaction is worth, as `Dataset.objectives`; the default first.
        guards: user features whose groups are guarded (`guard` in dataset.yaml).
        time_zone: IANA name of where the users live; "": not declared, so that no hour or weekday is known.
        query_token_ids: [num_events, query_tokens] int32, what the user searched for right before the event,
            0-padded; None where the data has no queries.
    """

    user_ids: npt.NDArray[np.object_]
    row_splits: npt.NDArray[np.int64]
    num_history: npt.NDArray[np.int64]
    item_index: npt.NDArray[np.int32]
    timestamp: npt.NDArray[np.int64]
    event_categorical: dict[str, npt.NDArray[np.int32]]
    event_numeric: dict[str, npt.NDArray[np.float32]]
    event_vocabularies: dict[str, tuple[str, ...]]
    positive: npt.NDArray[np.bool_]
    categorical: dict[str, npt.NDArray[np.int32]]
    numeric: dict[str, npt.NDArray[np.float32]]
    vocabularies: dict[str, tuple[str, ...]]
    inputs: dict[str, Input]
    objectives: Mapping[str, Values] = dataclasses.field(default_factory=lambda: {INTERACTIONS: {}})
    time_zone: str = ""
    guards: tuple[str, ...] = ()
    query_token_ids: npt.NDArray[np.int32] | None = None

    @property
    def num_users(self) -> int:
        """Number of rows."""
        return len(self.user_ids)

    @property
    def value(self) -> npt.NDArray[np.float32]:
        """[num_events] float32 of the feature `value` (rating, dwell seconds, price); NaN where there is none."""
        return self.event_numeric.get("value", np.full(len(self.timestamp), np.nan, np.float32))

    @property
    def event_features(self) -> dict[str, npt.NDArray[Any]]:
        """Event feature → [num_events], positions and numbers."""
        return self.event_categorical | self.event_numeric

    @property
    def context_names(self) -> list[str]:
        """The event features that a request has too."""
        return [name for name in self.event_features if f"context_{name}" in self.inputs]

    def events_at(self, positions: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Every event array, at these positions: what `dataclasses.replace` needs to choose or reorder events."""
        arrays = {name: getattr(self, name) for name in _EVENT_ARRAYS}
        chosen: dict[str, Any] = {name: array[positions] for name, array in arrays.items() if array is not None}
        for kind in ("event_categorical", "event_numeric"):
            chosen[kind] = {name: array[positions] for name, array in getattr(self, kind).items()}
        return chosen

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """[num_targets] int64 positions, in the event arrays, of the events that happened in the split."""
        starts = self.row_splits[:-1] + self.num_history
        return np.concatenate(
            [np.arange(start, stop) for start, stop in zip(starts, self.row_splits[1:], strict=True)]
            or [np.empty(0, np.int64)]
        ).astype(np.int64)

    @property
    def is_first(self) -> npt.NDArray[np.bool_]:
        """[num_events] whether the user has not had the event's item before."""
        user = np.repeat(np.arange(self.num_users), np.diff(self.row_splits))
        pairs = user * (int(self.item_index.max(initial=0)) + 1) + self.item_index
        is_first = np.zeros(len(pairs), np.bool_)
        is_first[np.unique(pairs, return_index=True)[1]] = True
        return is_first
