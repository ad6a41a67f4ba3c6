"""Reads a request inside the graph: strings to positions, and a history to its last known events."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.shared.request_specs import OF_CONTEXT, OF_EVENTS, OF_USERS, RequestFeatures
from homefeed.models.shared.string_table import StringTable, vocabulary_table
from homefeed.schemas.times import LIMIT_SECONDS

Tensors = Mapping[str, tf.Tensor]


class RequestReader(tf.Module):
    """Knows the strings of the catalogue and of the features of events, requests and users.

    Args:
        item_ids: [num_rows] object (bytes), as in Catalogue; row 0 is none.
        features: what a request says.
    """

    def __init__(self, item_ids: npt.NDArray[np.object_], features: RequestFeatures):
        super().__init__(name="request_reader")
        self.items = StringTable(item_ids[1:].tolist(), first=1)
        named = {OF_EVENTS: features.event_vocabularies, OF_CONTEXT: features.event_vocabularies}
        named[OF_USERS] = features.vocabularies
        self._tables = {
            f"{prefix}{name}": vocabulary_table(strings)
            for prefix, vocabularies in named.items()
            for name, strings in vocabularies.items()
            if f"{prefix}{name}" in features.inputs
        }

    @staticmethod
    def in_seconds(request: Tensors) -> dict[str, tf.Tensor]:
        """The request with its times in Unix seconds, where they came in milli-, micro- or nanoseconds."""
        times = {name: _in_seconds(request[name]) for name in ("timestamp", "history_timestamp") if name in request}
        return {**request, **times}

    def last_events(
        self, rows: tf.Tensor, request: Tensors, max_events: int
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """The last known events of each history.

        Args:
            rows: [batch, num_places] int32, what `items` makes of `history`; 0: none, or unknown.
            request: `history_timestamp`, and `history_<feature>` as the model knows them.
            max_events: how many to keep at most.

        Returns:
            `item` int32, `timestamp` int64, and `history_<feature>`, int32 positions or float32, all [batch, n],
            oldest first; n, at least 1, is the largest number of events kept in the batch; behind a row's last event
            is 0, or NaN for a number. And [batch] int32, how many events a row has.

        Raises:
            InvalidArgumentError: where the graph runs; the inputs are of different widths.
        """
        places, num_events = last_places(rows > 0, max_events)
        inside = tf.sequence_mask(num_events, tf.shape(places)[1])
        columns = {"item": rows, "timestamp": request["history_timestamp"]}
        columns |= {name: column for name, column in self._read(OF_EVENTS, request).items() if name not in _KNOWN}
        widths = tf.stack([tf.shape(column)[1] for column in columns.values()])
        tf.debugging.assert_equal(widths, tf.shape(rows)[1], "`history` and every `history_…` are of one width.")
        # One more place, to which an empty history points.
        padded = {name: tf.pad(column, ((0, 0), (0, 1))) for name, column in columns.items()}
        events = {
            name: tf.where(inside, tf.gather(column, places, batch_dims=1), _unknown(column))
            for name, column in padded.items()
        }
        return events, num_events

    def context(self, request: Tensors) -> dict[str, tf.Tensor]:
        """`context_<feature>`: [batch] int32 positions, or float32 numbers as they are."""
        return self._read(OF_CONTEXT, request)

    def user(self, request: Tensors) -> dict[str, tf.Tensor]:
        """`user_<feature>`: [batch, num_values] int32 positions, or [batch, size] float32 numbers as they are."""
        features = self._read(OF_USERS, request)
        return {name: column[:, None] if len(column.shape) == 1 else column for name, column in features.items()}

    def _read(self, prefix: str, request: Tensors) -> dict[str, tf.Tensor]:
        columns = {name: column for name, column in request.items() if name.startswith(prefix)}
        return {
            name: self._tables[name].lookup(column) if name in self._tables else column
            for name, column in columns.items()
        }


_KNOWN = ("history_timestamp",)  # Read by another name.


def _in_seconds(times: tf.Tensor) -> tf.Tensor:
    for _ in range(3):  # From the year 2286 on, or the end of April 1970 in the next smaller unit.
        times = tf.where(times >= LIMIT_SECONDS, times // 1000, times)
    return times


def _unknown(column: tf.Tensor) -> tf.Tensor:
    return tf.constant(np.nan if column.dtype.is_floating else 0, column.dtype)


def last_places(present: tf.Tensor, max_events: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Where the last events that are present stand.

    Args:
        present: [batch, num_places] bool.
        max_events: how many to keep.

    Returns:
        [batch, n] int32 places, in order, followed by arbitrary ones up to num_places, where n ≥ 1 is the largest
        number kept in the batch, and [batch] int32 how many places count.
    """
    present = tf.pad(present, ((0, 0), (0, 1)))  # At least one place.
    order = tf.argsort(tf.cast(~present, tf.int32), axis=1, stable=True)
    total = tf.reduce_sum(tf.cast(present, tf.int32), axis=1)
    kept = tf.minimum(total, max_events)
    width = tf.maximum(tf.reduce_max(kept), 1)
    nth = (total - kept)[:, None] + tf.range(width)[None, :]
    last = tf.shape(present)[1] - 1
    return tf.gather(order, tf.minimum(nth, last), batch_dims=1), kept
