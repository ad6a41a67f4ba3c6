"""A user's state as a request, and requests as the input tensors of a signature: the same for every caller."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
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
    """Something that a user did.

    Attributes:
        item_id: with what.
        value: rating, dwell seconds, price; NaN: none.
        event_type: what was done; "": unknown.
        timestamp: when, Unix seconds; 0: unknown.
        features: declared event feature → value; a missing one is unknown.
    """

    item_id: str
    value: float = float("nan")
    event_type: str = ""
    timestamp: int = 0
    features: Mapping[str, str | float] = dataclasses.field(default_factory=dict)

    def get(self, name: str) -> str | float | None:
        """What an event feature says of this event; None: nothing."""
        known: dict[str, str | float] = {"value": self.value, "event_type": self.event_type}
        return known.get(name, self.features.get(name))


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
        context: declared context feature → value, such as the device that asks; a missing one is unknown.
        objective: what the list is sorted for, of those that the model knows; "": the model's own.
    """

    user_id: str
    history: Sequence[Event] = ()
    features: Mapping[str, Feature] = dataclasses.field(default_factory=dict)
    timestamp: int = 0
    query_token_ids: Sequence[int] = ()
    filters: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    context: Mapping[str, str | float] = dataclasses.field(default_factory=dict)
    objective: str = ""


def batch_inputs(requests: Sequence[Request], specs: Mapping[str, TensorSpec]) -> dict[str, npt.NDArray[Any]]:
    """The part of a signature's inputs that describes users: histories are padded to the longest.

    Args:
        requests: one a row.
        specs: the signature's inputs. Those that say nothing of a user (`k`, `candidates`, …) are left out.

    Returns:
        Input name → [batch_size, …]; see `docs/signatures.md`.

    Raises:
        ValueError: a request has a filter, a context or an objective that the signature does not take; the one that
            ranks what was found takes no filter, and need not, and the one that finds it no objective.
    """
    if "k" in specs:
        _check_names(requests, specs, "filter", "filters")
    _check_names(requests, specs, "context", "context")
    num_events = max([1, *(len(request.history) for request in requests)])
    inputs: dict[str, npt.NDArray[Any]] = {}
    for name, spec in specs.items():
        if name == "history" or name.startswith("history_"):
            inputs[name] = _events(requests, name, spec, num_events)
        elif name == "timestamp":
            inputs[name] = np.array([request.timestamp for request in requests], np.int64)
        elif name.startswith("user_"):
            feature = name.removeprefix("user_")
            inputs[name] = _feature([request.features.get(feature) for request in requests], spec)
        elif name.startswith("context_"):
            feature = name.removeprefix("context_")
            inputs[name] = _feature([request.context.get(feature) for request in requests], spec)
        elif name == "objective":
            inputs[name] = np.array([request.objective.encode() for request in requests], np.object_)
        elif name == "candidate_token_ids":  # No candidate is new to the model.
            inputs[name] = np.zeros((len(requests), 1, 1), np.int32)
        elif name == "query_token_ids":
            inputs[name] = _padded([request.query_token_ids for request in requests], 0, np.int32)
        elif name.startswith("filter_"):
            feature = name.removeprefix("filter_")
            accepted = [[_bytes(value) for value in request.filters.get(feature, ())] for request in requests]
            inputs[name] = _padded(accepted, b"", np.object_)
    return inputs


def _check_names(requests: Sequence[Request], specs: Mapping[str, TensorSpec], kind: str, field: str) -> None:
    """Nothing that a caller says of a request is passed over in silence."""
    taken = {name.removeprefix(f"{kind}_") for name in specs if name.startswith(f"{kind}_")}
    unknown = {name for request in requests for name in getattr(request, field)} - taken
    if unknown:
        known = ", ".join(sorted(taken)) or "none"
        raise ValueError(f"The model has no {kind} {', '.join(sorted(unknown))}; it has {known}.")


def _padded(rows: Sequence[Sequence[Any]], padding: Any, dtype: Any) -> npt.NDArray[Any]:
    array = np.full((len(rows), max([1, *map(len, rows)])), padding, dtype)
    for row, values in enumerate(rows):
        array[row, : len(values)] = values
    return array


def _events(requests: Sequence[Request], name: str, spec: TensorSpec, num_events: int) -> npt.NDArray[Any]:
    dtype = np.dtype(spec.dtype)
    padding = b"" if dtype == np.object_ else np.nan if dtype == np.float32 else 0
    array = np.full((len(requests), num_events), padding, dtype)
    for row, request in enumerate(requests):
        for place, event in enumerate(request.history):
            value = _of_event(event, name)
            if value is not None:
                array[row, place] = _bytes(value) if dtype == np.object_ else value
    return array


def _of_event(event: Event, name: str) -> str | float | None:
    if name == "history":
        return event.item_id
    return event.timestamp if name == "history_timestamp" else event.get(name.removeprefix("history_"))


def _feature(given: Sequence[Any], spec: TensorSpec) -> npt.NDArray[Any]:
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


def _bytes(value: str | bytes | float) -> bytes:
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

    @functools.cache
    def item_id(index: int) -> str:
        found: bytes = catalogue.item_ids[index]
        return found.decode()

    categories = {name: ["", UNKNOWN.decode(), *known] for name, known in sequences.event_vocabularies.items()}
    of_users = {name: [b"", UNKNOWN, *map(str.encode, known)] for name, known in sequences.vocabularies.items()}
    for row, end in zip(rows.tolist(), ends.tolist(), strict=True):
        start, stop = sequences.row_splits[row : row + 2].tolist()
        # Of this user alone: the values of all would be a hundred times as large as their arrays.
        events = slice(start, min(end + 1, stop))
        items, times = sequences.item_index[events].tolist(), sequences.timestamp[events].tolist()
        values = _event_values(sequences, events, categories)
        names = ["" if item == 0 else item_id(item) for item in items[: end - start]]
        history = _history(names, times, values)
        is_known = end < stop  # Behind a user's last event stands another user's first.
        context = {name: values[name][end - start] for name in sequences.context_names} if is_known else {}
        known = {name: value for name, value in context.items() if not _is_unknown(value)}
        now, query = times[end - start] if is_known else 0, _query(sequences, row, end)
        features = _row_features(sequences, row, of_users)
        yield Request(sequences.user_ids[row].decode(), history, features, now, query, context=known)


def _event_values(
    sequences: Sequences, events: slice, categories: Mapping[str, Sequence[str]]
) -> dict[str, list[str] | list[float]]:
    """Event feature → values of some events, as callers write them."""
    values: dict[str, list[str] | list[float]] = {
        name: [categories[name][position] for position in positions[events].tolist()]
        for name, positions in sequences.event_categorical.items()
    }
    return values | {name: numbers[events].tolist() for name, numbers in sequences.event_numeric.items()}


def _history(item_ids: Sequence[str], times: Sequence[int], values: Mapping[str, Sequence[Any]]) -> list[Event]:
    """The events on items that are known; "" is none."""
    value = values.get("value", itertools.repeat(math.nan))
    event_type = values.get("event_type", itertools.repeat(""))
    others = {name: column for name, column in values.items() if name not in ("value", "event_type")}
    return [
        Event(
            item_id,
            math.nan if _is_unknown(of_value) else of_value,
            "" if _is_unknown(of_type) else of_type,
            timestamp,
            {name: column[at] for name, column in others.items() if not _is_unknown(column[at])} if others else {},
        )
        for at, (item_id, timestamp, of_value, of_type) in enumerate(
            zip(item_ids, times, value, event_type, strict=False)  # Of the last time, there may be no event.
        )
        if item_id
    ]


def _is_unknown(value: str | float) -> bool:
    return value == "" or value != value  # NaN is no number, not even itself.


def _query(sequences: Sequences, row: int, end: int) -> list[int]:
    if sequences.query_token_ids is None or end >= sequences.row_splits[row + 1]:
        return []
    tokens = sequences.query_token_ids[end]
    return [int(token) for token in tokens[tokens > 0]]


def _row_features(sequences: Sequences, row: int, names: Mapping[str, Sequence[bytes]]) -> dict[str, Feature]:
    features: dict[str, Feature] = {
        name: [names[name][position] for position in array[row].tolist() if position]
        for name, array in sequences.categorical.items()
    }
    for name, numbers in sequences.numeric.items():
        if not np.isnan(numbers[row]).any():
            features[name] = numbers[row].tolist()
    return features
