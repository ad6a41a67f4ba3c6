"""Prediction points: where a history is cut, as the model inputs that a request there would give."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from homefeed.models.exposures import Exposures
from homefeed.models.sequences import Sequences
from homefeed.models.shared.request_specs import OF_CONTEXT

RECENT = "recent_"
"""What the names of inputs about the newest events begin with; they stand newest first."""


@dataclasses.dataclass(frozen=True)
class PredictionPoints:
    """What a user did before a point is known, what comes from there on is to be predicted.

    Attributes:
        row: [num_points] int64, rows of Sequences.
        cut: [num_points] int64, positions in the event arrays: the first event that is not known.
    """

    row: npt.NDArray[np.int64]
    cut: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, which: npt.NDArray[np.int64] | slice) -> PredictionPoints:
        return PredictionPoints(self.row[which], self.cut[which])


def first_targets(sequences: Sequences) -> PredictionPoints:
    """One point a user: where the split begins. Users without an event in the split are left out."""
    cut = sequences.row_splits[:-1] + sequences.num_history
    rows = np.flatnonzero(cut < sequences.row_splits[1:])
    return PredictionPoints(rows, cut[rows])


def every_target(sequences: Sequences) -> PredictionPoints:
    """One point an event of the split: right before it."""
    cut = sequences.targets
    return PredictionPoints(np.searchsorted(sequences.row_splits, cut, side="right") - 1, cut)


def random_points(sequences: Sequences, per_user: int, rng: np.random.Generator) -> PredictionPoints:
    """At most `per_user` different points of each user, drawn evenly from the events of the split."""
    points = every_target(sequences)
    shuffled = points[rng.permutation(len(points))]
    by_row = shuffled[np.argsort(shuffled.row, kind="stable")]
    place = np.arange(len(by_row)) - np.searchsorted(by_row.row, by_row.row)
    chosen = by_row[np.flatnonzero(place < per_user)]
    return chosen[rng.permutation(len(chosen))]


def locate(exposures: Exposures, sequences: Sequences) -> tuple[npt.NDArray[np.int64], PredictionPoints]:
    """Where in their users' events impressions were: those of users with events, and the points.

    What happened in the second of an impression is not known at its point: it may be what came of it.
    """
    rows: Mapping[bytes, int] = {user: row for row, user in enumerate(sequences.user_ids)}
    row = np.array([rows.get(user, -1) for user in exposures.user_ids], np.int64)
    found = np.flatnonzero(row >= 0)
    starts, stops = sequences.row_splits[:-1][row[found]], sequences.row_splits[1:][row[found]]
    cut = [
        start + np.searchsorted(sequences.timestamp[start:stop], second)
        for start, stop, second in zip(starts, stops, exposures.timestamp[found], strict=True)
    ]
    return found, PredictionPoints(row[found], np.array(cut, np.int64))


def thinned(points: PredictionPoints, most: int) -> PredictionPoints:
    """At most `most` of them, evenly spread."""
    return points[np.linspace(0, len(points) - 1, min(len(points), most)).astype(np.int64)]


def drawn(points: PredictionPoints, most: int, rng: np.random.Generator) -> PredictionPoints:
    """All of them, or `most` that are drawn evenly where there are more."""
    return points if len(points) <= most else points[rng.choice(len(points), most, replace=False)]


def features(sequences: Sequences, points: PredictionPoints, num_events: int) -> dict[str, npt.NDArray[np.generic]]:
    """Model inputs at each point.

    Args:
        sequences: users and what they did.
        points: where.
        num_events: how many events of the history are kept, the newest.

    Returns:
        `recent_items` [num_points, num_events] int32 catalogue rows, newest first, 0 for none; aligned with it
        `recent_timestamps` int64, 0 for none, and `recent_<feature>` int32 or float32, 0 or NaN for none; of the
        event that comes `timestamp` [num_points] int64, `context_<feature>` [num_points] and, where the data has
        queries, `query_token_ids` [num_points, query_tokens] int32, what was searched for before it; and
        `user_<feature>` [num_points, …].
    """
    positions = points.cut[:, None] - 1 - np.arange(num_events)
    known = positions >= sequences.row_splits[points.row][:, None]
    positions = np.where(known, positions, 0)
    coming = np.minimum(points.cut, len(sequences.timestamp) - 1)
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "recent_items": np.where(known, sequences.item_index[positions], 0).astype(np.int32),
        "recent_timestamps": np.where(known, sequences.timestamp[positions], 0).astype(np.int64),
        "timestamp": sequences.timestamp[coming],
    }
    for name, column in sequences.event_features.items():
        nothing = column.dtype.type(np.nan if np.issubdtype(column.dtype, np.floating) else 0)
        arrays[f"{RECENT}{name}"] = np.where(known, column[positions], nothing)
    arrays |= {f"{OF_CONTEXT}{name}": sequences.event_features[name][coming] for name in sequences.context_names}
    if sequences.query_token_ids is not None and len(sequences.timestamp):
        arrays["query_token_ids"] = sequences.query_token_ids[coming]
    for name, table in (*sequences.categorical.items(), *sequences.numeric.items()):
        arrays[f"user_{name}"] = table[points.row]
    return arrays


def coming_events(sequences: Sequences, points: PredictionPoints, num_events: int) -> npt.NDArray[np.int64]:
    """[num_points, num_events] int64 positions of the events from the cut on, oldest first; -1: none left."""
    positions = points.cut[:, None] + np.arange(num_events)
    return np.where(positions < sequences.row_splits[points.row + 1][:, None], positions, -1)


def places_of_coming(
    sequences: Sequences, points: PredictionPoints, items: npt.NDArray[np.int32]
) -> npt.NDArray[np.int64]:
    """When users come to items: [num_points, num_items] int64 positions of their next events with them; -1: none.

    Args:
        sequences: users and what they did.
        points: where.
        items: [num_points, num_items] rows of the catalogue; 0: none.
    """
    places = np.full(items.shape, -1, np.int64)
    of_item = np.full(int(max(items.max(initial=0), sequences.item_index.max(initial=0))) + 1, -1, np.int64)
    stops = sequences.row_splits[points.row + 1]
    for row, (cut, stop) in enumerate(zip(points.cut.tolist(), stops.tolist(), strict=True)):
        coming = sequences.item_index[cut:stop]
        of_item[coming[::-1]] = np.arange(stop - 1, cut - 1, -1)  # The first of several is written last.
        of_item[0] = -1
        places[row] = of_item[items[row]]
        of_item[coming] = -1
    return places
