"""Every user as a request, as of after the last event: what profiles hold and what BulkInferrer asks about."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from homefeed.components.artifacts import example_io, transformed
from homefeed.components.artifacts.table_rows import rows_by_id
from homefeed.components.artifacts.types import ALL, SPLITS, Examples, TransformGraph
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
        self._splits = [transformed.load_sequences(graph, examples, split) for split in SPLITS]
        ids = self._table.column(self._table.schema.get_field_index("user_id")) if self._table.num_rows else []
        self._rows = {user_id.as_py()[0].decode(): row for row, user_id in enumerate(ids)}
        # User id → split and row. A later split repeats the events of those before it.
        self._places = {
            user_id.decode(): (split, row)
            for split, sequences in enumerate(self._splits)
            for row, user_id in enumerate(sequences.user_ids)
        }
        self.user_ids = sorted(self._rows.keys() | self._places.keys())

    def of(self, user_ids: Sequence[str]) -> Iterator[Request]:
        """The requests of some users, in this order; their time is open."""
        rows = [self._rows[user_id] for user_id in user_ids if user_id in self._rows]
        features = rows_by_id(self._table.take(np.array(rows, np.int64)), "user_id") if rows else {}
        found: dict[str, Request] = {}
        for split, sequences in enumerate(self._splits):
            places = (self._places.get(user_id, (-1, 0)) for user_id in user_ids)
            rows_there = np.array([row for of_split, row in places if of_split == split], np.int64)
            ends = sequences.row_splits[rows_there + 1]
            for request in requests_from_sequences(sequences, self._catalogue, rows_there, ends):
                found[request.user_id] = request
        for user_id in user_ids:
            request = found.get(user_id, Request(user_id))
            yield dataclasses.replace(request, features=features.get(user_id, {}), timestamp=0)

    def __iter__(self) -> Iterator[Request]:
        """All of them, a part of the users at once."""
        for start in range(0, len(self.user_ids), AT_ONCE):
            yield from self.of(self.user_ids[start : start + AT_ONCE])
