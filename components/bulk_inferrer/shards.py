"""The files of recommendations: one shard of users each."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from homefeed.components.artifacts.user_requests import UserTables
from homefeed.schemas.scratch import replacing

JSON_LINES, PARQUET = ".jsonl", ".parquet"
AT_ONCE = 1_000  # Rows of a row group, and in memory.
TYPES = pa.schema([("user_id", pa.string()), ("items", pa.list_(pa.string())), ("scores", pa.list_(pa.float32()))])


@dataclasses.dataclass(frozen=True)
class Shard:
    """Users whose recommendations go into one file.

    Attributes:
        number: of the shard of the tables.
        name: of the file.
        num_users: only so many, the first by their ids; None: all of the shard.
    """

    number: int
    name: str
    num_users: int | None = None

    def file(self, folder: pathlib.Path, suffix: str = PARQUET) -> pathlib.Path:
        """Where they lie, or will."""
        return folder / f"{self.name}{suffix}"

    def is_finished(self, folder: pathlib.Path) -> bool:
        """Whether its files are in the folder; the Parquet file comes last."""
        return self.file(folder).is_file()


def make_shards(tables: UserTables, max_users: int = 0) -> list[Shard]:
    """The shards of users; of more than `max_users`, unless it is 0, the first shards and users."""
    num_shards = tables.shards.num_shards
    shards = [Shard(number, f"shard-{number:05d}-of-{num_shards:05d}") for number in range(num_shards)]
    return _first(shards, tables, max_users) if max_users else shards


def _first(shards: Iterable[Shard], tables: UserTables, max_users: int) -> list[Shard]:
    found = []
    for shard in shards:
        num_users = min(len(tables.requests(shard.number).user_ids), max_users)
        found.append(dataclasses.replace(shard, num_users=num_users))
        max_users -= num_users
        if not max_users:
            break
    return found


def count_users(shards: Iterable[Shard], folder: pathlib.Path) -> int:
    """How many were recommended to."""
    return sum(pq.read_metadata(shard.file(folder)).num_rows for shard in shards)


def write_shard(rows: Iterable[dict[str, Any]], folder: pathlib.Path, shard: Shard) -> None:
    """Writes a shard as JSON lines and as Parquet, each in one step, the Parquet file last."""
    waiting = iter(rows)
    with (
        replacing(shard.file(folder)) as parquet,
        replacing(shard.file(folder, JSON_LINES)) as lines,
        lines.open("w", encoding="utf-8") as file,
        pq.ParquetWriter(parquet, TYPES) as writer,
    ):
        while part := list(itertools.islice(waiting, AT_ONCE)):
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in part)
            writer.write_table(pa.Table.from_pylist(part, TYPES))
