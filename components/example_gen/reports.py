# mypy: disable-error-code="no-untyped-call"
"""What workers tell of their work, under a kind and a key: added up, and written where the component reads it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from apache_beam.io.filesystems import FileSystems

from homefeed.components.artifacts.types import Quarantine
from homefeed.components.example_gen import ids, spill, tally
from homefeed.components.example_gen.counts import TableCounts
from homefeed.components.example_gen.spill import Chunk
from homefeed.schemas.columns import TableName
from homefeed.schemas.tables import Source

COUNTS, BAD, IDS = KINDS = ("counts", "bad", "ids")
QUARANTINE = "quarantine"  # The folder of bad rows, where they are delivered.


def add_up(parts: Iterable[Any]) -> Any:
    """Counters, tables of ids, or lists of bad rows' chunks together: a key has one kind."""
    found = list(parts)
    if isinstance(found[0], Counter):
        return tally.add(found)
    return [chunk for part in found for chunk in part] if isinstance(found[0], list) else ids.add_ids(found)


def write(element: tuple[tuple[str, Any], Any], folder: str, quarantine: Quarantine, delivery: str) -> None:
    """Writes what was told under a key: bad rows to quarantine, counts and ids to the folder."""
    (kind, key), told = element
    if kind == BAD:
        _write_quarantine((key, told), quarantine, delivery)
    else:
        write_told = _write_counts if kind == COUNTS else spill.write_ids
        write_told((key, told), folder)


def _write_quarantine(element: tuple[TableName, Iterable[Chunk]], quarantine: Quarantine, delivery: str) -> None:
    name, chunks = element
    with (
        spill.delivered(quarantine, QUARANTINE, delivery) as destination,
        (destination.path / f"{name}.jsonl").open("wb") as out,
    ):
        for chunk in sorted(chunks):
            with FileSystems.open(chunk.path, compression_type=spill.PLAIN) as stream:
                out.write(stream.read())


def _write_counts(element: tuple[TableName, Counter[str]], folder: str) -> None:
    name, counts = element
    with FileSystems.create(f"{folder}/{name}.json", compression_type=spill.PLAIN) as sink:
        sink.write(json.dumps(counts, sort_keys=True).encode())  # In whatever order they came.


def read_counts(source: Source, folder: str) -> TableCounts:
    """What became of a table's rows."""
    with FileSystems.open(f"{folder}/{source.name}.json", compression_type=spill.PLAIN) as stream:
        return tally.table_counts(json.loads(stream.read()), source)
