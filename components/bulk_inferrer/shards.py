"""Users that share a file, and the files of their recommendations."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

JSON_LINES, PARQUET = ".jsonl", ".parquet"


@dataclasses.dataclass(frozen=True)
class Shard:
    """The users whose recommendations go into one file."""

    name: str
    user_ids: tuple[str, ...]

    def is_finished(self, folder: pathlib.Path) -> bool:
        """Whether its files are in the folder; the Parquet file comes last."""
        return (folder / f"{self.name}{PARQUET}").is_file()


def make_shards(user_ids: Sequence[str], shard_users: int) -> list[Shard]:
    """Users in the order that they have, in shards named after their places."""
    parts = [tuple(user_ids[start : start + shard_users]) for start in range(0, len(user_ids), shard_users)]
    return [Shard(f"shard-{place:05d}-of-{len(parts):05d}", part) for place, part in enumerate(parts)]


def write_shard(rows: Sequence[dict[str, Any]], folder: pathlib.Path, name: str) -> None:
    """Writes a shard as JSON lines and as Parquet, each in one step, the Parquet file last."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    strings, floats = pa.list_(pa.string()), pa.list_(pa.float32())
    types = pa.schema([("user_id", pa.string()), ("items", strings), ("scores", floats)])
    for suffix in (JSON_LINES, PARQUET):
        staging = folder / f".{name}{suffix}.{os.getpid()}.tmp"
        if suffix == JSON_LINES:
            staging.write_text(lines, encoding="utf-8")
        else:
            pq.write_table(pa.Table.from_pylist(list(rows), types), staging)
        os.replace(staging, folder / f"{name}{suffix}")
