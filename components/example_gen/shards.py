"""A shard of a table: its rows in order, each counted, as the Examples of each split."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from homefeed.components.artifacts.types import ALL
from homefeed.components.example_gen import events, exposures, spill, tally
from homefeed.components.example_gen.relations import keep_relations
from homefeed.components.example_gen.rows import last_of_each, list_rows, titled
from homefeed.components.example_gen.spill import Chunk
from homefeed.components.example_gen.splits import Cuts, SplitRule
from homefeed.components.example_gen.written import count_split
from homefeed.schemas import tables
from homefeed.schemas.columns import KEYS, TableName
from homefeed.schemas.dataset import Positive
from homefeed.schemas.tables import Source

JOINED: dict[TableName, TableName] = {"knowledge": "items"}
"""Table → the one that it is joined to: its rows go to that one's shards."""
TIMED: tuple[TableName, ...] = ("interactions", "exposures")


@dataclasses.dataclass(frozen=True)
class Options:
    """What workers are told, beside the tables."""

    rule: SplitRule
    user_key: str  # Where the key is by which user ids become pseudonyms; empty: they stay.
    shard_megabytes: int  # Of input a shard.
    temp_dir: str  # That all workers share; empty: they are all on this machine.
    positive: Positive  # Which events are liked.
    shown: tuple[str, ...]  # And which are exposures.
    now: int  # Unix seconds.
    kinds: tuple[str, ...] = ()  # Of relations: those that count; empty: all.
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)  # Relation of items → its name in `knowledge`.


class Shard(NamedTuple):
    """What is written.

    Attributes:
        splits: split → Examples.
        counts: table → what became of its rows: of this one, and of those that are joined to it.
    """

    splits: dict[str, pa.RecordBatch]
    counts: dict[TableName, Counter[str]]


def put_in_order(
    source: Source, chunks: Sequence[Chunk], joined: Iterable[Source], options: Options, cuts: Cuts | None
) -> Shard:
    """Reads the chunks of a shard.

    Args:
        source: the table.
        chunks: rows of the shard, and of the tables that are joined to it, in any order.
        joined: these tables.
        options: what is wanted.
        cuts: where events are split; None: there are none.
    """
    rows, name = _read(source, chunks), source.name
    if name in TIMED:
        kept = events.retain(rows, cuts)
        of_table = _exposures if name == "exposures" else _interactions
        splits, counts = of_table(kept, options, cuts)
        counts += Counter(expired=rows.num_rows - kept.num_rows, duplicates=kept.num_rows - counts["written"])
        return Shard(splits, {name: counts})
    if name == "relations":
        kept, counts = keep_relations(rows, options.kinds)
        return Shard({ALL: list_rows(kept)}, {name: tally.of_shard(counts)})
    kept = last_of_each(rows, KEYS[name])
    counted: dict[TableName, Counter[str]]
    counted = {name: Counter(written=kept.num_rows, duplicates=rows.num_rows - kept.num_rows)}
    if name == "items":
        kept = titled(kept)
    for other in joined:
        kept, counts = tables.join_facts(kept, _read(other, chunks), options.facts)
        counted[other.name] = tally.of_shard(counts)
    return Shard({ALL: list_rows(kept)}, counted)


def _read(source: Source, chunks: Iterable[Chunk]) -> pa.RecordBatch:
    mine = [chunk for chunk in chunks if chunk.table == source.name]
    return spill.read_chunks(mine, tables.arrow_schema(source.features))


def _interactions(
    rows: pa.RecordBatch, options: Options, cuts: Cuts | None
) -> tuple[dict[str, pa.RecordBatch], Counter[str]]:
    num_written, splits = events.split_events(rows, options.rule, cuts)
    counts = Counter(written=num_written)
    for split, examples in splits.items():
        counts += count_split(split, examples, options.positive)
    return splits, counts


def _exposures(
    rows: pa.RecordBatch, options: Options, cuts: Cuts | None
) -> tuple[dict[str, pa.RecordBatch], Counter[str]]:
    num_written, splits = exposures.split_impressions(rows, options.rule, cuts)
    return splits, Counter(written=num_written)
