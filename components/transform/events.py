"""The interactions of all splits together, and what was searched for in them."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import SPLITS
from homefeed.components.transform.arrays import look_up, of_kinds, vocabulary
from homefeed.models import behaviour_text
from homefeed.schemas.columns import Feature


@dataclasses.dataclass(frozen=True)
class Events:
    """The interactions of all splits, in the order of time inside each user.

    Attributes:
        user: [num_events] int64 positions in `user_ids`.
        split: [num_events] int64 positions in SPLITS.
        columns: name → [num_events], as ExampleGen wrote them.
        user_ids: [num_users] object (bytes).
    """

    user: npt.NDArray[np.int64]
    split: npt.NDArray[np.int64]
    columns: dict[str, npt.NDArray[Any]]
    user_ids: npt.NDArray[np.object_]

    @property
    def in_train(self) -> npt.NDArray[np.bool_]:
        """[num_events] whether each event is for training."""
        return self.split == SPLITS.index("train")


def join_splits(batches: Mapping[str, pa.RecordBatch]) -> Events:
    """Puts each user's events of all splits behind each other."""
    ids, lengths, splits = [], [], []
    columns: dict[str, list[npt.NDArray[Any]]] = collections.defaultdict(list)
    for position, split in enumerate(SPLITS):
        batch = batches[split]
        found = {name: example_io.ragged(batch, name) for name in batch.schema.names if name != "user_id"}
        present = {name: value for name, value in found.items() if value is not None}
        num_events = np.diff(present["item_id"][1]) if present else np.zeros(0, np.int64)
        ids.append(example_io.single(batch, "user_id", b""))
        lengths.append(num_events)
        splits.append(np.full(num_events.sum(), position))
        for name, (values, _) in present.items():
            columns[name].append(values)
    user_ids, user = np.unique(np.concatenate(ids), return_inverse=True)
    user = np.repeat(user, np.concatenate(lengths))
    order = np.argsort(user, kind="stable")  # The splits came in the order of time.
    joined = {name: np.concatenate(parts)[order] for name, parts in columns.items()}
    return Events(user[order], np.concatenate(splits)[order].astype(np.int64), joined, user_ids)


@dataclasses.dataclass(frozen=True)
class EventFeatures:
    """The columns that describe events beside item and time; arrays and vocabularies as in Sequences."""

    categorical: dict[str, npt.NDArray[np.int32]]
    numeric: dict[str, npt.NDArray[np.float32]]
    vocabularies: dict[str, tuple[str, ...]]

    def take(self, mask: npt.NDArray[np.bool_]) -> EventFeatures:
        """Of the events for which the mask is True."""
        return dataclasses.replace(
            self,
            categorical={name: array[mask] for name, array in self.categorical.items()},
            numeric={name: array[mask] for name, array in self.numeric.items()},
        )


def encode_events(events: Events, features: Mapping[str, Feature], min_count: int) -> EventFeatures:
    """The event features that training events have a value of.

    Args:
        events: of all splits.
        features: `Dataset.event_features`.
        min_count: a category seen less often in training gets no place in its vocabulary.
    """
    columns = {name: events.columns[name] for name in features if name in events.columns}
    categories = of_kinds({name: features[name] for name in columns}, "category")
    learnt = {name: vocabulary(columns[name][events.in_train], min_count) for name in categories}
    numbers = {name: columns[name].astype(np.float32) for name in columns.keys() - categories.keys()}
    return EventFeatures(
        {name: look_up(columns[name], values) for name, values in learnt.items() if values},
        {name: array for name, array in sorted(numbers.items()) if np.isfinite(array[events.in_train]).any()},
        {name: values for name, values in learnt.items() if values},
    )


def training_queries(events: Events) -> list[str]:
    """What was searched for in training, each query once."""
    if "query" not in events.columns:
        return []
    return [query.decode() for query in np.unique(events.columns["query"][events.in_train]) if query]


def tokenize_queries(events: Events, wordpiece: list[str], num_tokens: int) -> npt.NDArray[np.int32] | None:
    """[num_events, num_tokens] int32, as in Sequences; None where nobody ever searched."""
    texts, which = np.unique(events.columns.get("query", np.empty(0, object)), return_inverse=True)
    if not any(texts):
        return None
    return behaviour_text.tokenize([text.decode() for text in texts], wordpiece, num_tokens)[which]
