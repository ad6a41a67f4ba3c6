# mypy: disable-error-code="no-untyped-call"
"""Rows between the two steps of the Beam pipeline, in files that every worker can reach."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import shutil
import uuid
import zlib
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from homefeed.components.artifacts.types import Examples, Quarantine
from homefeed.components.example_gen import ids
from homefeed.components.example_gen.rows import join_batches
from homefeed.schemas import tables
from homefeed.schemas.columns import TableName
from homefeed.schemas.scratch import PREFIX, scratch

PLAIN = CompressionTypes.UNCOMPRESSED
AnyArtifact = TypeVar("AnyArtifact", Examples, Quarantine)


@dataclasses.dataclass(frozen=True, order=True)
class Chunk:
    """Some rows of one file that go to one shard, in a file of their own. Sorts by where they came from."""

    file: int
    number: int
    path: str
    batch: int
    table: str = ""  # Whose rows they are.


def shard_of(keys: pa.Array, num_shards: int) -> npt.NDArray[np.int64]:
    """[num_rows] which shard each key belongs to, today and ever after."""
    if num_shards == 1:
        return np.zeros(len(keys), np.int64)
    coded = keys.cast(pa.binary()).dictionary_encode()
    distinct = coded.dictionary.to_numpy(zero_copy_only=False)
    shards = np.fromiter((zlib.crc32(key) % num_shards for key in distinct), np.int64, len(distinct))
    return shards[coded.indices.to_numpy()]


def spill(rows: pa.RecordBatch, shard: npt.NDArray[np.int64], path: str) -> list[int]:
    """Writes one Arrow batch a shard into a file; returns which shards."""
    present, starts, lengths = np.unique(np.sort(shard), return_index=True, return_counts=True)
    by_shard = rows if len(present) == 1 else rows.take(pa.array(np.argsort(shard, kind="stable")))
    with (
        FileSystems.create(path, compression_type=PLAIN) as sink,
        pa.ipc.new_file(sink, rows.schema) as writer,
    ):
        for start, length in zip(starts, lengths, strict=True):
            writer.write_batch(by_shard.slice(start, length))
    return [int(number) for number in present]


def read_chunks(chunks: Iterable[Chunk], schema: pa.Schema) -> pa.RecordBatch:
    """The rows of all chunks, in the order of the files."""
    batches = []
    for chunk in sorted(chunks):
        with FileSystems.open(chunk.path, compression_type=PLAIN) as stream:
            batches.append(pa.ipc.open_file(stream).get_batch(chunk.batch))
    return join_batches(batches, schema)


def spill_bad(bad: Iterable[tables.BadRow], file: str, path: str) -> str:
    """Writes bad rows as JSON lines, each with the file that it came from; returns the path."""
    with FileSystems.create(path, compression_type=PLAIN) as sink:
        for row in bad:
            line = {"file": file} | dataclasses.asdict(row)
            sink.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
    return path


def write_ids(element: tuple[tuple[TableName, str], pa.Table], folder: str) -> None:
    """Writes how often each id of a (table, column) is there."""
    place, counted = element
    path = f"{folder}/{'-'.join(place)}.arrow"
    with FileSystems.create(path, compression_type=PLAIN) as sink, pa.ipc.new_file(sink, counted.schema) as out:
        out.write_table(counted)


def read_ids(tables_read: Iterable[TableName], folder: str) -> dict[tuple[TableName, str], pa.Table]:
    """What was written, of the tables that have rows."""
    found = {}
    for place in ((name, column) for name in tables_read for column in ids.columns_of_ids(name)):
        path = f"{folder}/{'-'.join(place)}.arrow"
        if FileSystems.exists(path):
            with FileSystems.open(path, compression_type=PLAIN) as stream:
                found[place] = pa.ipc.open_file(stream).read_all()
    return found


@contextlib.contextmanager
def between_steps(temp_dir: str) -> Iterator[str]:
    """A folder for rows between the steps, below that path or URI or in the system's place; gone at the end."""
    if not temp_dir:
        with scratch() as local:
            yield str(local)
        return
    folder = f"{temp_dir.rstrip('/')}/{PREFIX}{uuid.uuid4().hex}"
    try:
        yield folder
    finally:
        FileSystems.delete([file.path for file in FileSystems.match([f"{folder}/**"])[0].metadata_list])
        shutil.rmtree(folder, ignore_errors=True)  # Where folders are things of their own.


@contextlib.contextmanager
def delivered(artifact: AnyArtifact, name: str, delivery: str) -> Iterator[AnyArtifact]:
    """Where a worker writes: the artifact itself or, with a folder to deliver to, a copy whose files go there."""
    if not delivery:
        yield artifact
        return
    with scratch() as root:
        yield dataclasses.replace(artifact, path=root)
        for file in (path for path in root.rglob("*") if path.is_file()):
            copy(str(file), f"{delivery}/{name}/{file.relative_to(root).as_posix()}")


def fetch(folder: str, destination: pathlib.Path) -> None:
    """Copies everything below a folder, a path or URI, here."""
    for file in FileSystems.match([f"{folder}/**"])[0].metadata_list:
        target = destination / file.path.removeprefix(f"{folder}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        copy(file.path, str(target))


def copy(source: str, target: str) -> None:
    """Copies a file between any two places that Beam opens."""
    with (
        FileSystems.open(source, compression_type=PLAIN) as read,
        FileSystems.create(target, compression_type=PLAIN) as write,
    ):
        shutil.copyfileobj(read, write, 1 << 20)
