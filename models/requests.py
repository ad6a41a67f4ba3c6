"""A user's state as a request, and requests as the input tensors of a signature: the same for every caller."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.catalogue import Catalogue
from homefeed.models.sequences import Sequences

UNKNOWN = b"[UNK]"  # Stands for a category whose name was lost as out-of-vocabulary.
Feature = str | bytes | float | Sequence[str | bytes] | Sequence[float]


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """An input of a signature. `shape` has -1 for an axis of any size."""

    dtype: npt.DTypeLike  # np.object_ for strings.
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that a user did."""

    item_id: str
    value: float = float("nan")
    event_type: str = ""
    timestamp: int = 0  # Unix seconds; 0: unknown.


@dataclasses.dataclass(frozen=True)
class Request:
    """What a model is asked about one user.

    Attributes:
        user_id: names the user to people and logs; no model reads it.
        history: events, oldest first.
        features: user feature → value, as in the users table; a missing one is unknown.
        timestamp: the request's time, Unix seconds; 0: unknown.
        query_token_ids: a text query, tokenised with the vocabulary in the models' assets.
        filters: item feature (`categories`, `language`) → accepted values; an item needs one of each.
    """

    user_id: str
    history: Sequence[Event] = ()
    features: Mapping[str, Feature] = dataclasses.field(default_factory=dict)
    timestamp: int = 0
    query_token_ids: Sequence[int] = ()
    filters: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)


def batch_inputs(requests: Sequence[Request], specs: Mapping[str, TensorSpec]) -> dict[str, npt.NDArray[Any]]:
    """The part of a signature's inputs that describes users: histories are padded to the longest.

    Args:
        requests: one a row.
        specs: the signature's inputs. Those that say nothing of a user (`k`, `candidates`, …) are left out.

    Returns:
        Input name → [batch_size, …]; see `docs/signatures.md`.

    Raises:
        ValueError: a request has a filter that the signature does not take, and it takes others or `k`.
    """
    _check_filters(requests, specs)
    num_events = max([1, *(len(request.history) for request in requests)])
    inputs: dict[str, npt.NDArray[Any]] = {}
    for name, spec in specs.items():
        if name == "history" or name.startswith("history_"):
            inputs[name] = _events(requests, name, num_events)
        elif name == "timestamp":
            inputs[name] = np.array([request.timestamp for request in requests], np.int64)
        elif name.startswith("user_"):
            inputs[name] = _feature(requests, name.removeprefix("user_"), spec)
        elif name == "candidate_token_ids":  # No candidate is new to the model.
            inputs[name] = np.zeros((len(requests), 1, 1), np.int32)
        elif name == "query_token_ids":
            inputs[name] = _padded([request.query_token_ids for request in requests], 0, np.int32)
        elif name.startswith("filter_"):
            feature = name.removeprefix("filter_")
            accepted = [[_bytes(value) for value in request.filters.get(feature, ())] for request in requests]
            inputs[name] = _padded(accepted, b"", np.object_)
    return inputs


def _check_filters(requests: Sequence[Request], specs: Mapping[str, TensorSpec]) -> None:
    """What finds items must not pass over a filter in silence; what only ranks them has none."""
    taken = {name.removeprefix("filter_") for name in specs if name.startswith("filter_")}
    unknown = {feature for request in requests for feature in request.filters} - taken
    if unknown and "k" in specs:
        known = ", ".join(sorted(taken)) or "nothing"
        raise ValueError(f"The model cannot filter by {', '.join(sorted(unknown))}; it can by {known}.")


def _padded(rows: Sequence[Sequence[Any]], padding: Any, dtype: Any) -> npt.NDArray[Any]:
    array = np.full((len(rows), max([1, *map(len, rows)])), padding, dtype)
    for row, values in enumerate(rows):
        array[row, : len(values)] = values
    return array


_EVENT_INPUTS: dict[str, tuple[str, Any, Any]] = {
    "history": ("item_id", np.object_, b""),
    "history_value": ("value", np.float32, np.nan),
    "history_event_type": ("event_type", np.object_, b""),
    "history_timestamp": ("timestamp", np.int64, 0),
}


def _events(requests: Sequence[Request], name: str, num_events: int) -> npt.NDArray[Any]:
    field, dtype, padding = _EVENT_INPUTS[name]
    array = np.full((len(requests), num_events), padding, dtype)
    for row, request in enumerate(requests):
        for place, event in enumerate(request.history):
            value = getattr(event, field)
            array[row, place] = value.encode() if isinstance(value, str) else value
    return array


def _feature(requests: Sequence[Request], name: str, spec: TensorSpec) -> npt.NDArray[Any]:
    given = [request.features.get(name) for request in requests]
    if np.dtype(spec.dtype) == np.object_:
        rows = [[_bytes(value) for value in _as_list(cell)] for cell in given]
        width = 1 if len(spec.shape) == 1 else max([1, *map(len, rows)])
        array = np.full((len(rows), width), b"", np.object_)
    else:
        rows = [_as_list(cell) for cell in given]
        width = 1 if len(spec.shape) == 1 else max(1, spec.shape[1])
        array = np.full((len(rows), width), np.nan, np.float32)
    for row, values in enumerate(rows):
        array[row, : len(values)] = values[:width]
    return array[:, 0] if len(spec.shape) == 1 else array


def _as_list(cell: Any) -> list[Any]:
    if cell is None:
        return []
    return [cell] if isinstance(cell, str | bytes | float | int) else list(cell)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def requests_from_sequences(
    sequences: Sequences, catalogue: Catalogue, rows: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> Iterator[Request]:
    """For each of the rows the request as it was just before event `ends`.

    Args:
        sequences: users and their events.
        catalogue: names the items.
        rows: [num_requests] rows of `sequences`.
        ends: [num_requests] positions in its event arrays; the events of the row before it are the history, and the
            request is asked at the time of the event there; behind the last one the time is 0, unknown.
    """
    event_types = [b"", UNKNOWN, *(name.encode() for name in sequences.vocabularies.get("event_type", ()))]
    item_ids = [item_id.decode() for item_id in catalogue.item_ids]
    features = [_row_features(sequences, row) for row in range(sequences.num_users)]
    for row, end in zip(rows.tolist(), ends.tolist(), strict=True):
        history = [
            Event(
                item_ids[sequences.item_index[at]],
                float(sequences.value[at]),
                event_types[sequences.event_type_index[at]].decode(),
                int(sequences.timestamp[at]),
            )
            for at in range(sequences.row_splits[row], end)
            if sequences.item_index[at]
        ]
        # Behind a user's last event stands another user's first.
        now = int(sequences.timestamp[end]) if end < sequences.row_splits[row + 1] else 0
        query = _query(sequences, row, end)
        yield Request(sequences.user_ids[row].decode(), history, features[row], now, query)


def _query(sequences: Sequences, row: int, end: int) -> list[int]:
    if sequences.query_token_ids is None or end >= sequences.row_splits[row + 1]:
        return []
    tokens = sequences.query_token_ids[end]
    return [int(token) for token in tokens[tokens > 0]]


def _row_features(sequences: Sequences, row: int) -> dict[str, Feature]:
    features: dict[str, Feature] = {}
    for name, array in sequences.categorical.items():
        strings = [b"", UNKNOWN, *(value.encode() for value in sequences.vocabularies[name])]
        features[name] = [strings[position] for position in array[row] if position]
    for name, numbers in sequences.numeric.items():
        if not np.isnan(numbers[row]).any():
            features[name] = numbers[row].tolist()
    return features
