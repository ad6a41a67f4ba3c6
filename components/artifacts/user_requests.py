"""Every user as a request, as of after the last event: what profiles hold and what BulkInferrer asks about."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from homefeed.components.artifacts import example_io, transformed
from homefeed.components.artifacts.table_rows import rows_by_id
from homefeed.components.artifacts.types import ALL, SPLITS, Examples, TransformGraph
from homefeed.components.artifacts.user_shards import UserShards
from homefeed.models.catalogue import Catalogue
from homefeed.models.requests import Request, requests_from_sequences
from homefeed.models.sequences import Sequences

if TYPE_CHECKING:
    import pyarrow as pa

AT_ONCE = 10_000  # Users whose requests are in memory: each event is an object of some 400 bytes.


@dataclasses.dataclass(frozen=True)
class UserTables:
    """What says who everybody is, and what they did: a shard of each table is of the same users.

    Attributes:
        graph: vocabularies of the examples.
        examples: the transformed examples.
        users: the users table as ExampleGen wrote it.
        shards: which files are of the same users.
    """

    graph: TransformGraph
    examples: Examples
    users: Examples
    shards: UserShards

    @classmethod
    def of(cls, graph: TransformGraph, examples: Examples, users: Examples) -> UserTables:
        """Looks how they were cut."""
        return cls(graph, examples, users, UserShards.of(*((examples, split) for split in SPLITS), (users, ALL)))

    def requests(self, shard: int) -> UserRequests:
        """Of everybody in a shard of the users table or of the interactions."""
        files = {split: self.shards.files(self.examples, split, shard) for split in SPLITS}
        people = example_io.read_whole(self.shards.files(self.users, ALL, shard))
        return UserRequests(transformed.load_newest(self.graph, files), people, self.catalogue)

    def __iter__(self) -> Iterator[Request]:
        """The requests of all, a part of a shard at a time."""
        return itertools.chain.from_iterable(map(self.requests, range(self.shards.num_shards)))

    @functools.cached_property
    def catalogue(self) -> Catalogue:
        """Names the items."""
        return transformed.load_catalogue(self.graph)


class UserRequests:
    """A request of each user, with all that they did; it is made where it is asked for.

    Attributes:
        user_ids: in order.
    """

    user_ids: list[str]

    def __init__(self, sequences: Sequences, people: pa.RecordBatch, catalogue: Catalogue):
        """Finds who is there.

        Args:
            sequences: each user once.
            people: rows of the users table; some may have done nothing, and some who did something may lack.
            catalogue: names the items.
        """
        self._sequences, self._table, self._catalogue = sequences, people, catalogue
        ids = people.column(people.schema.get_field_index("user_id")) if people.num_rows else []
        self._rows = {user_id.as_py()[0].decode(): row for row, user_id in enumerate(ids)}
        self._places = {user_id.decode(): row for row, user_id in enumerate(sequences.user_ids)}
        self.user_ids = sorted(self._rows.keys() | self._places.keys())

    def num_events(self, user_id: str) -> int:
        """How long their history is."""
        place = self._places.get(user_id)
        splits = self._sequences.row_splits
        return 0 if place is None else int(splits[place + 1] - splits[place])

    def of(self, user_ids: Sequence[str]) -> Iterator[Request]:
        """The requests of some users, in this order, a part of them at once; their time is open."""
        for start in range(0, len(user_ids), AT_ONCE):
            yield from self._of(user_ids[start : start + AT_ONCE])

    def _of(self, user_ids: Sequence[str]) -> Iterator[Request]:
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
        """All of them."""
        return self.of(self.user_ids)
