"""Takes a person out of the files below the root of the runs: each kind of file in its own way."""

from __future__ import annotations

import contextlib
import gzip
import json
import pathlib
import sqlite3
from collections.abc import Iterator
from typing import Any

from homefeed.components.artifacts.types import ExampleStatistics
from homefeed.pipeline.forget.person import Person
from homefeed.pipeline.forget.tables import from_parquet
from homefeed.schemas import tables
from homefeed.schemas.scratch import replacing

BUSY_SECONDS = 30.0  # How long a database may be written to by others.
USERS = ("user_id", "other_id")  # Columns that hold ids of users.
REPORTS = (".json", ".html", ".md", ".txt")  # Written for people; one that names the person is deleted.


def content(path: pathlib.Path) -> bytes:
    """The bytes of a file as they are before compression."""
    if path.suffix in (".parquet", ".pq"):
        return _parquet_content(path)
    if path.suffix in tables.COMPRESSIONS and path.suffix != ".gz":
        from apache_beam.io.filesystems import FileSystems

        with FileSystems.open(str(path)) as stream:
            unpacked: bytes = stream.read()
        return unpacked
    content = path.read_bytes()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def _parquet_content(path: pathlib.Path) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(path)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def from_file(path: pathlib.Path, person: Person) -> int:
    """Takes the person out of one file below the root."""
    if path.suffix == ".gz" and path.parent.name.startswith("Split-"):
        return _from_examples(path, person)
    if path.name == ExampleStatistics.FILE:
        return _from_statistics(path, person)
    if path.suffix in (".sqlite", ".db"):
        return _from_sqlite(path, person)
    if path.suffix == ".parquet":
        return from_parquet(path, person)
    if path.suffix == ".jsonl":
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not person.is_in_line(line)]
        if len(kept) < len(lines):
            path.write_text("".join(kept), encoding="utf-8")
        return len(lines) - len(kept)
    if path.suffix in REPORTS and person.is_in_bytes(content(path)):
        path.unlink()
        return 1
    return 0


def from_json(path: pathlib.Path, person: Person) -> int:
    """Takes what is told of the person out of a file beside the tables: fields named by them, and rows of theirs."""
    try:
        said = json.loads(content(path))
    except ValueError:
        return 0
    found = [0]
    kept = _without(said, person, found)
    if found[0]:
        with replacing(path) as staging:
            staging.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
    return found[0]


def _without(said: Any, person: Person, found: list[int]) -> Any:
    """A value of JSON without them; counts in `found` what was taken out."""
    if isinstance(said, dict):
        kept = {name: value for name, value in said.items() if not person.owns(name) and not _is_of(value, person)}
        found[0] += len(said) - len(kept)
        return {name: _without(value, person, found) for name, value in _rows_of_others(kept, person, found).items()}
    if isinstance(said, list):
        rows = [value for value in said if not _is_of(value, person)]
        found[0] += len(said) - len(rows)
        return [_without(value, person, found) for value in rows]
    return said


def _rows_of_others(table: dict[str, Any], person: Person, found: list[int]) -> dict[str, Any]:
    """A table that is written by columns, without their rows."""
    users = table.get("user_id")
    if not isinstance(users, list):
        return table
    places = [place for place, user in enumerate(users) if not _is_of(user, person)]
    found[0] += len(users) - len(places)
    return {
        name: [column[place] for place in places]
        if isinstance(column, list) and len(column) == len(users)
        else column
        for name, column in table.items()
    }


def _is_of(value: Any, person: Person) -> bool:
    user = value.get("user_id") if isinstance(value, dict) else value
    return isinstance(user, str) and person.owns(user)


def _from_examples(path: pathlib.Path, person: Person) -> int:
    import tensorflow as tf

    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path), "GZIP")]
    kept = [record for record in records if not any(map(person.owns, _user_ids(tf.train.Example.FromString(record))))]
    if len(kept) < len(records):
        options = tf.io.TFRecordOptions("GZIP", compression_level=1)
        with replacing(path) as staging, tf.io.TFRecordWriter(str(staging), options) as writer:
            for record in kept:
                writer.write(record)
    return len(records) - len(kept)


def _user_ids(example: Any) -> list[str]:
    found = example.features.feature
    return [user_id.decode() for name in USERS if name in found for user_id in found[name].bytes_list.value]


def _from_statistics(path: pathlib.Path, person: Person) -> int:
    """Takes ids out of the most frequent values that TFDV keeps."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
    count = 0
    for feature in (feature for dataset in statistics.datasets for feature in dataset.features):
        if list(feature.path.step) != ["user_id"]:
            continue
        for values, attribute in (
            (feature.string_stats.top_values, "value"),
            (feature.string_stats.rank_histogram.buckets, "label"),
        ):
            kept = [value for value in values if not person.owns(getattr(value, attribute))]
            if len(kept) < len(values):
                count += len(values) - len(kept)
                del values[:]
                values.extend(kept)
    if count:
        path.write_bytes(statistics.SerializeToString(deterministic=True))
    return count


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[sqlite3.Connection]:
    """A database that a gateway may be at work on; each statement is committed by itself."""
    with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as database:
        yield database


def _from_sqlite(path: pathlib.Path, person: Person) -> int:
    """Deletes the person's rows from every table with a `user_id`, and what SQLite keeps of deleted rows."""
    count = 0
    with opened(path) as database:
        database.execute("PRAGMA secure_delete = ON")
        for table, column in _places_of_users(database):
            places = ", ".join("?" * len(person.names))
            query = f'DELETE FROM "{table}" WHERE {column} IN ({places})'
            count += database.execute(query, sorted(person.names)).rowcount
        if count:
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return count


def _places_of_users(database: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Table and column."""
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        columns = {row[1] for row in database.execute(f'PRAGMA table_info("{table}")')}
        yield from ((table, column) for column in USERS if column in columns)
