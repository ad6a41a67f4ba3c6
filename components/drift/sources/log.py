# mypy: disable-error-code="no-untyped-call"
"""Logs of requests that were served: TFRecords of PredictionLog."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from homefeed.components.drift.summary import Summary, summarize_batches
from homefeed.schemas.columns import STANDARD_COLUMNS, Feature, TableName
from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.values import arrow_type

HISTORY, OF_EVENTS, OF_USERS = "history", "history_", "user_"
NOT_COMPARED = ("history_timestamp",)  # Times only grow.


def from_log(path: pathlib.Path, files: list[pathlib.Path]) -> Summary:
    """Counts what the requests of a log carry: histories as interactions, user features as users.

    Requests do not say whose they are; those whose histories begin with the same item are taken for one user's where
    it matters, which is in how sure a share is.

    Raises:
        DatasetError: a file is no TFRecord file of PredictionLogs, or no request in it has an input that is known.
    """
    batches: dict[tuple[str, ...], _Requests] = collections.defaultdict(_Requests)  # By the inputs that they have.
    for inputs in _logged_inputs(files):
        batches[tuple(sorted(inputs))].add(inputs)
    features: dict[TableName, dict[str, Feature]] = {"interactions": {}, "users": {}}
    parts: dict[TableName, list[pa.RecordBatch]] = {"interactions": [], "users": []}
    for requests in batches.values():
        for table, columns in requests.tables.items():
            for name, values in columns.items():
                features[table].setdefault(name, _logged_feature(table, name, values))
            parts[table].append(_record_batch(columns, features[table]))
    found = {table: rows for table, rows in parts.items() if any(batch.num_columns > 1 for batch in rows)}
    if not found:
        raise DatasetError(f"No request in {path} has the input history, or a user's feature (user_…).")
    summary = summarize_batches(str(path), found, features)
    summary.columns.pop("interactions.user_id", None)
    summary.events_per_user = sum((requests.lengths for requests in batches.values()), collections.Counter[int]())
    summary.is_log = True
    return summary


class _Requests:
    """Requests with the same inputs, as columns."""

    def __init__(self) -> None:
        self.tables: dict[TableName, dict[str, list[Any]]] = {
            "interactions": collections.defaultdict(list),
            "users": collections.defaultdict(list),
        }
        self.lengths: collections.Counter[int] = collections.Counter()  # Of histories.

    def add(self, inputs: dict[str, npt.NDArray[Any]]) -> None:
        """Adds the rows of one request's batch; an input that is the same for all rows may come once."""
        for row in range(max(map(len, inputs.values()))):
            self._add({name: values[min(row, len(values) - 1)] for name, values in inputs.items() if len(values)})

    def _add(self, cells: dict[str, Any]) -> None:
        events, users = self.tables["interactions"], self.tables["users"]
        history = cells.get("history", ())
        present = [place for place, item in enumerate(history) if item]  # The others pad.
        sender = str(_cell(history[present[0]])) if present else ""
        if present:
            self.lengths[len(present)] += 1
            events["user_id"] += [sender] * len(present)
        users["user_id"].append(sender)
        for name, value in cells.items():
            if name.startswith(OF_USERS):
                users[name.removeprefix(OF_USERS)].append(_cell(value))
            else:
                column = "item_id" if name == HISTORY else name.removeprefix(OF_EVENTS)
                events[column] += [_cell(value[place]) for place in present]


def _record_batch(columns: dict[str, list[Any]], features: dict[str, Feature]) -> pa.RecordBatch:
    arrays = [pa.array(values, arrow_type(features[name].kind)) for name, values in columns.items()]
    return pa.RecordBatch.from_arrays(arrays, list(columns))


def _logged_inputs(files: Iterable[pathlib.Path]) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """The inputs of each Predict request that describe a user, [batch_size, …]."""
    for file in files:
        records = tf.data.TFRecordDataset(str(file), "GZIP" if file.suffix == ".gz" else "")
        try:
            for record in records.as_numpy_iterator():
                log = prediction_log_pb2.PredictionLog.FromString(record)
                if log.WhichOneof("log_type") is None:
                    raise DatasetError(f"{file} holds TFRecords, but of something else than PredictionLog.")
                inputs = {
                    name: tf.make_ndarray(tensor)
                    for name, tensor in log.predict_log.request.inputs.items()
                    if name == HISTORY or (name.startswith((OF_EVENTS, OF_USERS)) and name not in NOT_COMPARED)
                }
                if any(values.ndim for values in inputs.values()):
                    yield {name: values for name, values in inputs.items() if values.ndim}
        except (DecodeError, tf.errors.DataLossError) as error:
            raise DatasetError(f"{file} is no TFRecord file of PredictionLogs: {error}") from error


def _cell(value: Any) -> str | float | list[Any] | None:
    if isinstance(value, np.ndarray):
        return [cell for cell in map(_cell, value) if cell is not None] or None
    if isinstance(value, bytes):
        return value.decode() or None
    return None if np.isnan(value) else float(value)


def _logged_feature(table: TableName, name: str, values: list[Any]) -> Feature:
    known = STANDARD_COLUMNS[table].get(name)
    if known is not None:
        return known
    example = next((value for value in values if value is not None), None)
    if isinstance(example, list):
        is_text = isinstance(example[0], str)
        return Feature(kind="categories") if is_text else Feature(kind="embedding", size=len(example))
    return Feature(kind="category" if isinstance(example, str) else "number")
