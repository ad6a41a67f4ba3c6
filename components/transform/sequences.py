"""The events of a split as the Sequences that models read: one a user, with the history before it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts.positives import is_positive
from homefeed.components.artifacts.types import SPLITS
from homefeed.components.transform.events import EventFeatures, Events
from homefeed.components.transform.users import UserTable
from homefeed.models.sequences import Sequences
from homefeed.schemas.columns import TableName
from homefeed.schemas.dataset import Dataset
from homefeed.schemas.features import Input, serving_inputs


def build_sequences(
    events: Events,
    users: UserTable,
    split: str,
    item_rows: Mapping[bytes, int],
    dataset: Dataset,
    features: EventFeatures,
    inputs: dict[str, Input],
    query_token_ids: npt.NDArray[np.int32] | None = None,
) -> Sequences:
    """The users of one split, each with the events before it and in it.

    Args:
        events: of all splits.
        users: what is known of each.
        split: of SPLITS.
        item_rows: item → row of the catalogue; an item that it lacks gets row 0.
        dataset: says which events are liked, and where users live.
        features: of all events.
        inputs: what a request holds.
        query_token_ids: [num_events, num_tokens] of all events; None: nobody ever searched.
    """
    position = SPLITS.index(split)
    chosen = np.unique(events.user[events.split == position])
    keep = np.isin(events.user, chosen) & (events.split <= position)
    columns = {name: values[keep] for name, values in events.columns.items()}
    kept_user, in_history = events.user[keep], events.split[keep] < position
    row = np.searchsorted(chosen, kept_user)
    num_events = np.bincount(row, minlength=len(chosen))
    num_history = np.bincount(row, weights=in_history, minlength=len(chosen))
    value = columns.get("value", np.full(keep.sum(), np.nan)).astype(np.float32)
    event_type = columns.get("event_type", np.full(keep.sum(), b"", object))
    people, kept = users.take(events.user_ids[chosen]), features.take(keep)
    return Sequences(
        user_ids=events.user_ids[chosen],
        row_splits=np.concatenate([[0], np.cumsum(num_events)]).astype(np.int64),
        num_history=num_history.astype(np.int64),
        item_index=np.array([item_rows.get(item, 0) for item in columns["item_id"]], np.int32),
        timestamp=columns["timestamp"].astype(np.int64),
        event_categorical=kept.categorical,
        event_numeric=kept.numeric,
        event_vocabularies=kept.vocabularies,
        positive=is_positive(dataset.positive, value, event_type),
        categorical=people.categorical,
        numeric=people.numeric,
        vocabularies=people.vocabularies,
        inputs=inputs,
        objectives=dataset.objectives,
        time_zone=dataset.time_zone or "",
        guards=tuple(name for name, feature in dataset.features("users").items() if feature.guard),
        query_token_ids=None if query_token_ids is None else query_token_ids[keep],
    )


def request_inputs(
    dataset: Dataset, features: EventFeatures, users: UserTable, has_queries: bool
) -> dict[str, Input]:
    """What a request to a model of this data holds: what is declared, as far as training data has it.

    Args:
        dataset: the declaration.
        features: of events.
        users: those of the training split.
        has_queries: whether anybody ever searched.
    """
    numbers = {name for name, column in users.numeric.items() if np.isfinite(column).any()}
    present: set[tuple[TableName, str]] = {("interactions", name) for name in features.categorical | features.numeric}
    present |= {("users", name) for name in users.categorical.keys() | numbers}
    return serving_inputs(dataset, present | ({("interactions", "query")} if has_queries else set()))
