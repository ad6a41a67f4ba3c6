"""What the text model learns from: prediction points at which an item that is known was picked."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.sequences import Sequences
from homefeed.models.shared import prediction_points
from homefeed.models.text.settings import Settings

Ints = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class Requests:
    """Requests and what was picked.

    Attributes:
        history: [num_requests, num_events] int32 rows of the catalogue, newest first, 0 for none.
        query_token_ids: [num_requests, query_tokens] int32, 0-padded, all 0 for none.
        target: [num_requests] int32 rows.
    """

    history: Ints
    query_token_ids: Ints
    target: Ints

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, which: npt.NDArray[Any] | slice) -> Requests:
        return Requests(*(getattr(self, field.name)[which] for field in dataclasses.fields(self)))

    def without(self, rows: npt.NDArray[np.int64]) -> Requests:
        """Those that pick none of these items, which are also taken out of the histories."""
        kept = self[~np.isin(self.target, rows)]
        return dataclasses.replace(kept, history=np.where(np.isin(kept.history, rows), 0, kept.history))


def of_events(sequences: Sequences, rows: npt.NDArray[np.int64], settings: Settings) -> Requests:
    """The points of a split before events with these items, `settings.max_requests` of them at most."""
    points = prediction_points.every_target(sequences)
    points = points[np.flatnonzero(np.isin(sequences.item_index[points.cut], rows))]
    if len(points) > settings.max_requests:
        rng = np.random.default_rng(settings.seed)
        points = points[np.sort(rng.permutation(len(points))[: settings.max_requests])]
    given = prediction_points.features(sequences, points, settings.max_events)
    none = np.zeros((len(points), 1), np.int32)
    return Requests(
        history=given["recent_items"].astype(np.int32),
        query_token_ids=given.get("query_token_ids", none).astype(np.int32),
        target=sequences.item_index[points.cut].astype(np.int32),
    )


def joined(*parts: Requests) -> Requests:
    """All of them, in order."""
    names = [field.name for field in dataclasses.fields(Requests)]
    return Requests(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
