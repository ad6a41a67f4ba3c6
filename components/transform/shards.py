"""A shard of users, as Transform reads and writes it: their events, their rows, and what was shown to them."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from homefeed.components.artifacts import example_io, transformed
from homefeed.components.artifacts.example_io import Column
from homefeed.components.artifacts.transformed import numbers_of
from homefeed.components.artifacts.types import ALL, SPLITS, Examples, TransformGraph
from homefeed.components.artifacts.user_shards import UserShards
from homefeed.components.transform import events, exposures, learnt, sequences, users
from homefeed.components.transform.catalogue import learnt_rows
from homefeed.components.transform.counts import Counts
from homefeed.components.transform.events import Events
from homefeed.models.sequences import Sequences
from homefeed.schemas.dataset import Dataset


@dataclasses.dataclass(frozen=True)
class Tables:
    """The tables of users' doings, as ExampleGen wrote them: a shard of each is of the same users."""

    interactions: Examples
    users: Examples
    exposures: Examples

    @property
    def num_shards(self) -> int:
        """See UserShards."""
        return self._shards.num_shards

    @functools.cached_property
    def _shards(self) -> UserShards:
        tables = self.interactions, self.users, self.exposures
        return UserShards.of(*((table, split) for table in tables for split in table.splits))

    def events(self, shard: int) -> Events:
        """All events of the users."""
        return events.join_splits(
            {split: example_io.read_shards(self._shards.files(self.interactions, split, shard)) for split in SPLITS}
        )

    def people(self, shard: int) -> pa.RecordBatch:
        """Their rows of the table of users."""
        return example_io.read_whole(self._shards.files(self.users, ALL, shard))

    def shown(self, shard: int) -> dict[str, dict[str, Column]]:
        """Split → columns of what was shown to them."""
        return {
            split: example_io.join_columns(example_io.read_shards(self._shards.files(self.exposures, split, shard)))
            for split in SPLITS
        }


@dataclasses.dataclass(frozen=True)
class CountShard:
    """Counts what training events teach, and leaves the events for EncodeShard.

    Attributes:
        tables: what is read.
        dataset: what is declared.
        between: folder of events, where every worker can write.
    """

    tables: Tables
    dataset: Dataset
    between: pathlib.Path

    def __call__(self, shard: int) -> Counts:
        """See `learnt.count`."""
        log = self.tables.events(shard)
        events.write(log, _events_file(self.between, shard))
        return learnt.count(log, self.tables.people(shard), self.dataset)


def _events_file(between: pathlib.Path, shard: int) -> pathlib.Path:
    return between / f"events-{shard:05d}.arrow"


@dataclasses.dataclass(frozen=True)
class EncodeShard:
    """Writes what models read of a shard, by what all of them taught.

    Attributes:
        tables: what is read.
        dataset: what is declared.
        between: folder of the events that CountShard left.
        graph: vocabularies and catalogue.
        examples: gets the shard.
        query_tokens: kept of what was searched for.
        max_categories: kept of a feature that has several.
        learn_denied: whether events on denied items are learnt from.
        names_pages: whether events say of which page they came.
    """

    tables: Tables
    dataset: Dataset
    between: pathlib.Path
    graph: TransformGraph
    examples: Examples
    query_tokens: int
    max_categories: int
    learn_denied: bool
    names_pages: bool

    def __call__(self, shard: int) -> Counts:
        """Writes it; counts impressions."""
        log = events.read(_events_file(self.between, shard))
        for split, parts in self._sequences(log, self.tables.people(shard)):
            transformed.save_parts(self.examples, split, parts, shard, self.tables.num_shards)
        shown = exposures.build_exposures(
            self.tables.shown(shard), log, self._item_rows, self.dataset.positive, self.names_pages
        )
        for split, impressions in shown.items():
            transformed.save_exposures(self.examples, split, impressions, shard, self.tables.num_shards)
        return exposures.count(shown)

    def _sequences(self, log: Events, people: pa.RecordBatch) -> Iterator[tuple[str, Iterator[Sequences]]]:
        request, rows = self._request, self._item_rows
        event_numbers, user_numbers = (sorted(numbers_of(request["inputs"], of)) for of in ("history_", "user_"))
        features = events.encode_events(log, request["event_vocabularies"], event_numbers)
        table = users.build_users(
            people, self.dataset.features("users"), request["vocabularies"], user_numbers, self.max_categories
        )
        queries = None
        if "query_token_ids" in request["inputs"]:
            queries = events.tokenize_queries(log, transformed.load_wordpiece(self.graph), self.query_tokens)
        for split in SPLITS:
            yield (
                split,
                sequences.build_sequences(log, table, split, rows, self.dataset.positive, features, request, queries),
            )

    @functools.cached_property
    def _request(self) -> dict[str, Any]:
        return transformed.load_request(self.graph)

    @functools.cached_property
    def _item_rows(self) -> dict[bytes, int]:
        return learnt_rows(transformed.load_catalogue(self.graph), self.learn_denied)
