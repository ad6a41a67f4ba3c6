"""Reads a request inside the graph: strings to positions, and a history to its last known events."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.shared.request_specs import RequestFeatures
from homefeed.models.shared.string_table import StringTable, vocabulary_table

Tensors = Mapping[str, tf.Tensor]


class RequestReader(tf.Module):
    """Knows the strings of the catalogue and of the users' features.

    Args:
        item_ids: [num_rows] object (bytes), as in Catalogue; row 0 is none.
        features: what a request may say of a user.
    """

    def __init__(self, item_ids: npt.NDArray[np.object_], features: RequestFeatures):
        super().__init__(name="request_reader")
        self.items = StringTable(item_ids[1:].tolist(), first=1)
        self._event_types = vocabulary_table(features.vocabularies.get("event_type", ()))
        self._users = {name: vocabulary_table(features.vocabularies[name]) for name in features.categorical}

    def last_events(
        self, rows: tf.Tensor, request: Tensors, max_events: int
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """The last known events of each history.

        Args:
            rows: [batch, num_places] int32, what `items` makes of `history`; 0: none, or unknown.
            request: `history_timestamp` and, where the model knows them, `history_value` and `history_event_type`.
            max_events: how many to keep at most.

        Returns:
            `item` int32, `timestamp` int64, `value` float32 and `event_type` int32, all [batch, n], oldest first; n,
            at least 1, is the largest number of events kept in the batch; behind a row's last event is 0, or NaN for
            a value. And [batch] int32, how many events a row has.
        """
        places, num_events = last_places(rows > 0, max_events)
        inside = tf.sequence_mask(num_events, tf.shape(places)[1])
        columns = {
            "item": (rows, 0),
            "timestamp": (request["history_timestamp"], 0),
            "value": (request.get("history_value", tf.fill(tf.shape(rows), np.float32(np.nan))), np.nan),
            "event_type": (self._read_event_types(rows, request), 0),
        }
        # One more place, to which an empty history points.
        padded = {name: (tf.pad(column, ((0, 0), (0, 1))), none) for name, (column, none) in columns.items()}
        events = {
            name: tf.where(inside, tf.gather(column, places, batch_dims=1), tf.cast(none, column.dtype))
            for name, (column, none) in padded.items()
        }
        return events, num_events

    def user(self, request: Tensors) -> dict[str, tf.Tensor]:
        """`user_<feature>`: [batch, num_values] int32 positions, or [batch, size] float32 numbers as they are."""
        features = {}
        for name, column in request.items():
            if name.startswith("user_"):
                column = column[:, None] if len(column.shape) == 1 else column
                table = self._users.get(name.removeprefix("user_"))
                features[name] = table.lookup(column) if table else column
        return features

    def _read_event_types(self, rows: tf.Tensor, request: Tensors) -> tf.Tensor:
        if "history_event_type" not in request:
            return tf.zeros_like(rows)
        return self._event_types.lookup(request["history_event_type"])


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
