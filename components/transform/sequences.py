"""The events of a split as the Sequences that models read: one a user, with the history before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts.positives import is_positive
from homefeed.components.artifacts.types import SPLITS
from homefeed.components.transform.events import EventFeatures, Events
from homefeed.components.transform.users import UserTable
from homefeed.models.sequences import Sequences
from homefeed.schemas.dataset import Positive

USERS_AT_ONCE = 10_000  # Whose events are in memory twice.


def build_sequences(
    events: Events,
    users: UserTable,
    split: str,
    item_rows: Mapping[bytes, int],
    positive: Positive,
    features: EventFeatures,
    request: Mapping[str, Any],
    query_token_ids: npt.NDArray[np.int32] | None = None,
) -> Iterator[Sequences]:
    """The users of one split, each with the events before it and in it; some users at a time, at least one part.

    Args:
        events: of all splits.
        users: what is known of each.
        split: of SPLITS.
        item_rows: item → row of the catalogue; an item that it lacks gets row 0.
        positive: which events are liked.
        features: of all events.
        request: what is the same for all splits, as `transformed.load_request` gives it.
        query_token_ids: [num_queries, num_tokens] of the values of `query`; None: nobody ever searched.
    """
    position = SPLITS.index(split)
    item_index = events.item_id.find(item_rows, 0)
    is_liked = is_positive(positive, events.value, events.event_type)
    users_of_split = np.unique(events.user[events.split == position])
    for start in range(0, max(1, len(users_of_split)), USERS_AT_ONCE):
        chosen = users_of_split[start : start + USERS_AT_ONCE]
        places = _places_of(events, chosen, position)
        people, kept = users.take(events.user_ids[chosen]), features.take(places)
        row = np.searchsorted(chosen, events.user[places])
        num_events = np.bincount(row, minlength=len(chosen))
        num_history = np.bincount(row, weights=events.split[places] < position, minlength=len(chosen))
        queries = None if query_token_ids is None else query_token_ids[events.strings("query").codes[places]]
        yield Sequences(
            user_ids=events.user_ids[chosen],
            row_splits=np.concatenate([[0], np.cumsum(num_events)]).astype(np.int64),
            num_history=num_history.astype(np.int64),
            item_index=item_index[places],
            timestamp=events.timestamp[places],
            event_categorical=kept.categorical,
            event_numeric=kept.numeric,
            positive=is_liked[places],
            categorical=people.categorical,
            numeric=people.numeric,
            query_token_ids=queries,
            **request,
        )


def _places_of(events: Events, chosen: npt.NDArray[np.int32], position: int) -> npt.NDArray[np.int64]:
    """[num_kept] the events of some users, given in their order, until the split at this position."""
    if not len(chosen):
        return np.empty(0, np.int64)
    start, stop = np.searchsorted(events.user, (chosen[0], chosen[-1] + 1))
    near = slice(start, stop)
    kept = np.isin(events.user[near], chosen) & (events.split[near] <= position)
    return np.flatnonzero(kept) + start
