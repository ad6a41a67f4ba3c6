"""Users that share a file, and the files of their recommendations."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from homefeed.models.requests import Event, Request

JSON_LINES, PARQUET = ".jsonl", ".parquet"
REQUESTS = ".requests"  # Of a shard, hidden: no result, and swept with what a killed process leaves behind.


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


def write_requests(requests: Iterable[Request], folder: pathlib.Path, name: str) -> None:
    """Writes what a shard's worker asks about, as JSON lines, in one step; its texts are no bytes."""
    path = folder / f".{name}{REQUESTS}"
    staging = folder / f"{path.name}.{os.getpid()}.tmp"
    with staging.open("w", encoding="utf-8") as file:
        for request in requests:
            fields = {field.name: getattr(request, field.name) for field in dataclasses.fields(Request)}
            fields["history"] = [
                (event.item_id, event.value, event.event_type, event.timestamp, dict(event.features))
                for event in request.history
            ]
            file.write(json.dumps(fields, ensure_ascii=False, default=dict) + "\n")
    os.replace(staging, path)


def read_requests(folder: pathlib.Path, name: str) -> Iterator[Request]:
    """What was written, one request at a time."""
    with (folder / f".{name}{REQUESTS}").open(encoding="utf-8") as file:
        for line in file:
            fields = json.loads(line)
            yield Request(**fields | {"history": [Event(*event) for event in fields["history"]]})


def remove_requests(folder: pathlib.Path) -> None:
    """Removes the requests of all shards, also those that are half written."""
    for path in folder.glob(f".*{REQUESTS}*"):
        path.unlink(missing_ok=True)


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
