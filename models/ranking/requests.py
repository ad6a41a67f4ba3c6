"""Moments in users' lives, as the model inputs that a request at that moment would give."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from homefeed.models.sequences import Sequences


@dataclasses.dataclass(frozen=True)
class Moments:
    """When to look: what the user did before is known, what comes then is to be foretold.

    Attributes:
        row: [num_moments] int64, rows of Sequences.
        cut: [num_moments] int64, positions in the event arrays: the first event that is not known.
    """

    row: npt.NDArray[np.int64]
    cut: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, which: npt.NDArray[np.int64] | slice) -> Moments:
        return Moments(self.row[which], self.cut[which])


def first_targets(sequences: Sequences) -> Moments:
    """One moment a user: when the split begins. Users without an event in the split are left out."""
    cut = sequences.row_splits[:-1] + sequences.num_history
    rows = np.flatnonzero(cut < sequences.row_splits[1:])
    return Moments(rows, cut[rows])


def every_target(sequences: Sequences) -> Moments:
    """One moment an event of the split: right before it."""
    cut = sequences.targets
    return Moments(np.searchsorted(sequences.row_splits, cut, side="right") - 1, cut)


def random_moments(sequences: Sequences, per_user: int, rng: np.random.Generator) -> Moments:
    """At most `per_user` different moments of each user, drawn evenly from the events of the split."""
    moments = every_target(sequences)
    shuffled = moments[rng.permutation(len(moments))]
    by_row = shuffled[np.argsort(shuffled.row, kind="stable")]
    place = np.arange(len(by_row)) - np.searchsorted(by_row.row, by_row.row)
    chosen = by_row[np.flatnonzero(place < per_user)]
    return chosen[rng.permutation(len(chosen))]


def thinned(moments: Moments, most: int) -> Moments:
    """At most `most` of them, evenly spread."""
    return moments[np.linspace(0, len(moments) - 1, min(len(moments), most)).astype(np.int64)]


def features(sequences: Sequences, moments: Moments, num_events: int) -> dict[str, npt.NDArray[np.generic]]:
    """Model inputs of each moment.

    Args:
        sequences: users and what they did.
        moments: when.
        num_events: how many events of the history are kept, the newest.

    Returns:
        `history` [num_moments, num_events] int32 catalogue rows, newest first, 0 for none; aligned with it
        `history_value` float32 (NaN), `history_event_type` int32 and `history_timestamp` int64, 0 for none;
        `timestamp` [num_moments] int64, the event's that comes; where the data has queries `query_token_ids`
        [num_moments, query_tokens] int32, what was searched for before it; `user_<feature>` [num_moments, …].
    """
    positions = moments.cut[:, None] - 1 - np.arange(num_events)
    known = positions >= sequences.row_splits[moments.row][:, None]
    positions = np.where(known, positions, 0)
    coming = np.minimum(moments.cut, len(sequences.timestamp) - 1)
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "history": np.where(known, sequences.item_index[positions], 0).astype(np.int32),
        "history_value": np.where(known, sequences.value[positions], np.nan).astype(np.float32),
        "history_event_type": np.where(known, sequences.event_type_index[positions], 0).astype(np.int32),
        "history_timestamp": np.where(known, sequences.timestamp[positions], 0).astype(np.int64),
        "timestamp": sequences.timestamp[coming],
    }
    if sequences.query_token_ids is not None and len(sequences.timestamp):
        arrays["query_token_ids"] = sequences.query_token_ids[coming]
    for name, table in (*sequences.categorical.items(), *sequences.numeric.items()):
        arrays[f"user_{name}"] = table[moments.row]
    return arrays


def coming_events(sequences: Sequences, moments: Moments, num_events: int) -> npt.NDArray[np.int64]:
    """[num_moments, num_events] int64 positions of the events from the cut on, oldest first; -1: none left."""
    positions = moments.cut[:, None] + np.arange(num_events)
    return np.where(positions < sequences.row_splits[moments.row + 1][:, None], positions, -1)
