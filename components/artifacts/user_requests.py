"""Every user as a request, as of after the last event: what profiles hold and what BulkInferrer asks about."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from homefeed.components.artifacts import example_io, transformed
from homefeed.components.artifacts.table_rows import rows_by_id
from homefeed.components.artifacts.types import ALL, Examples, TransformGraph
from homefeed.models.catalogue import Catalogue
from homefeed.models.requests import Request, requests_from_sequences

AT_ONCE = 10_000  # Users whose requests are in memory: each event is an object of some 400 bytes.


class UserRequests:
    """A request of everybody in the users table or the interactions, with all that they did.

    The requests are made where they are asked for. Of all users their ids and the arrays of Examples are held.

    Attributes:
        user_ids: in order.
    """

    user_ids: list[str]

    def __init__(self, graph: TransformGraph, examples: Examples, users: Examples, catalogue: Catalogue):
        """Reads the tables.

        Args:
            graph: vocabularies of the examples.
            examples: the transformed examples.
            users: the users table as ExampleGen wrote it.
            catalogue: names the items.
        """
        self._catalogue, self._table = catalogue, example_io.read_split(users, ALL)
        self._sequences = transformed.load_newest(graph, examples)
        ids = self._table.column(self._table.schema.get_field_index("user_id")) if self._table.num_rows else []
        self._rows = {user_id.as_py()[0].decode(): row for row, user_id in enumerate(ids)}
        self._places = {user_id.decode(): row for row, user_id in enumerate(self._sequences.user_ids)}
        self.user_ids = sorted(self._rows.keys() | self._places.keys())

    def of(self, user_ids: Sequence[str]) -> Iterator[Request]:
        """The requests of some users, in this order; their time is open."""
        rows = [self._rows[user_id] for user_id in user_ids if user_id in self._rows]
        features = rows_by_id(self._table.take(np.array(rows, np.int64)), "user_id") if rows else {}
        places = np.array([self._places[user_id] for user_id in user_ids if user_id in self._places], np.int64)
        ends = self._sequences.row_splits[places + 1]
        made = requests_from_sequences(self._sequences, self._catalogue, places, ends)
        found = {request.user_id: request for request in made}
        for user_id in user_ids:
            request = found.get(user_id, Request(user_id))
            yield dataclasses.replace(request, features=features.get(user_id, {}), timestamp=0)

    def __iter__(self) -> Iterator[Request]:
        """All of them, a part of the users at once."""
        for start in range(0, len(self.user_ids), AT_ONCE):
            yield from self.of(self.user_ids[start : start + AT_ONCE])
