"""Forgets a person: their rows, Examples, profile and whatever names them, below the data folder and the root."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import json
import os
import pathlib
import re
import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

from homefeed.components.artifacts.types import Examples, ExampleStatistics
from homefeed.schemas import spans, tables
from homefeed.schemas.dataset import Dataset, Feature, TableName, load_dataset
from homefeed.schemas.privacy import load_key, pseudonym

MIN_SEARCHED_BYTES = 6  # A shorter id ("17") is found in everything: it is removed where it is a whole `user_id`.
MODEL_TYPES = ("Model", "PretrainedBert")
REPORTS = (".json", ".html", ".md", ".txt")  # Written for people; one that names the person is deleted.


@dataclasses.dataclass(frozen=True)
class Forgotten:
    """What was done."""

    removed: dict[str, int]  # File → rows, Examples, values or lines taken out of it (1: the file itself).
    models: list[str]  # Models that were trained with this person, by path: they know patterns, not the id.
    traces: list[str]  # Files that still hold the id, which should be none; short ids are not searched for.


class _Person:
    """Whom to forget: their id and its pseudonyms.

    Attributes:
        names: what they are called.
        namesakes: ids of others that contain one of the names, as `u-12` contains `u-1`; learnt from what is read.
    """

    def __init__(self, names: Collection[str]):
        self.names = frozenset(names)
        self.namesakes: set[str] = set()
        self._long = [name for name in self.names if len(name.encode()) >= MIN_SEARCHED_BYTES]
        self._words = re.compile("|".join(rf"(?<![\w-]){re.escape(name)}(?![\w-])" for name in self.names))

    def owns(self, user_id: str) -> bool:
        """Whether it is one of the names."""
        if user_id not in self.names and any(name in user_id for name in self.names):
            self.namesakes.add(user_id)
        return user_id in self.names

    def is_in_line(self, line: str) -> bool:
        """Whether a line of JSON is about them: by a `user_id`; by the text of a bad row; long ids by any text."""
        if any(name in self._words.findall(line) for name in self._long):
            return True
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            return False
        return isinstance(row, dict) and (
            row.get("user_id") in self.names or self.is_in_text(str(row.get("raw", "")))
        )

    def is_in_text(self, text: str) -> bool:
        """Whether one of the names is in a text as a word of its own."""
        return self._words.search(text) is not None

    def is_in_bytes(self, content: bytes) -> bool:
        """Whether one of the long names is in there, not counting those that are a part of another's."""
        if not any(name.encode() in content for name in self._long):
            return False
        for other in sorted(self.namesakes, key=len, reverse=True):
            content = content.replace(other.encode(), b"\0")
        return any(name.encode() in content for name in self._long)


def forget(
    user_id: str,
    data_dir: pathlib.Path | None = None,
    root: pathlib.Path | None = None,
    user_key: str = "",
    metadata: str | None = None,
) -> Forgotten:
    """Removes a person from the stored tables, the artifacts and the serving stores.

    Train again afterwards: models that were trained with the person are named, not changed.

    Args:
        user_id: as it is in the tables.
        data_dir: folder of `dataset.yaml`; its local tables are rewritten.
        root: root of the runs, with artifacts and served profiles.
        user_key: where a key of pseudonyms is, besides those that the runs below the root say they used.
        metadata: ML Metadata; None: `metadata.sqlite` in the root.

    Raises:
        DatasetError: the data folder or a key cannot be read.
    """
    keys = {user_key, *_keys_of_runs(root)} - {""}
    person = _Person({user_id, *(pseudonym(user_id, load_key(reference)) for reference in keys)})
    removed: dict[str, int] = {}
    if data_dir is not None:
        dataset = load_dataset(data_dir)
        for table in ("interactions", "users"):
            for path in _table_files(data_dir, dataset, table):
                removed[str(path)] = _from_table(path, dataset, table, person)
    # Reports last: by then it is known who else has an id like this one.
    for path in sorted(_files(root), key=lambda path: (path.suffix in REPORTS, path)):
        removed[str(path)] = _from_file(path, person)
    removed = {path: count for path, count in removed.items() if count}
    store = metadata or (str(root / "metadata.sqlite") if root else "")
    touched = {str(pathlib.Path(path).parents[1]) for path in removed if "Split-" in path}
    models = _trained_with(store, touched) if touched and (metadata or pathlib.Path(store).is_file()) else []
    left = [path for path in [*_files(root), *_files(data_dir)] if person.is_in_bytes(_content(path))]
    return Forgotten(removed, models, list(map(str, left)))


def _keys_of_runs(root: pathlib.Path | None) -> set[str]:
    files = root.rglob(Examples.USER_KEY_FILE) if root else ()
    return {Examples(file.parent).user_key() for file in files}


def _files(folder: pathlib.Path | None) -> list[pathlib.Path]:
    return [] if folder is None else sorted(path for path in folder.rglob("*") if path.is_file())


def _content(path: pathlib.Path) -> bytes:
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


def _table_files(data_dir: pathlib.Path, dataset: Dataset, table: TableName) -> list[pathlib.Path]:
    """All local files of a table, of every span and version."""
    pattern = tables.table_pattern(data_dir, dataset.table(table))
    if tables.is_uri(pattern):
        return []
    matched = pathlib.Path("/").glob(spans.as_glob(pattern).lstrip("/"))
    return sorted(path for path in matched if path.is_file())


# --- Each kind of file ---


def _from_table(path: pathlib.Path, dataset: Dataset, name: TableName, person: _Person) -> int:
    """Rewrites a table without the person's rows, and without bad rows that name them."""
    table = dataset.table(name)
    file_format = tables.format_of(str(path), table)
    if file_format == "parquet":
        return _from_parquet(path, table.columns.get("user_id", "user_id"), person)
    from apache_beam.io.filesystems import FileSystems

    starts, unwanted = [], set()
    with FileSystems.open(str(path)) as stream:
        for batch in tables.read_batches(stream, file_format, table, {"user_id": Feature(kind="id")}):
            starts += batch.lines.tolist()
            users = batch.rows.column(0).to_pylist()
            unwanted |= {line for line, user in zip(batch.lines.tolist(), users, strict=True) if person.owns(user)}
            starts += [row.line for row in batch.bad]
            unwanted |= {row.line for row in batch.bad if person.is_in_text(row.raw)}
    if not unwanted:
        return 0
    begins = set(starts)
    staging = path.with_name(f".forgetting-{path.name}")
    with FileSystems.open(str(path)) as source, FileSystems.create(str(staging)) as sink:
        dropping = False
        for number, line in enumerate(iter(source.readline, b""), 1):
            if number in begins:
                dropping = number in unwanted
            if not dropping:
                sink.write(line)
    os.replace(staging, path)
    return len(unwanted)


def _from_parquet(path: pathlib.Path, column: str, person: _Person) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rows = pq.read_table(path)
    for user_id in rows[column].unique().cast(pa.string()).drop_null().to_pylist():
        person.owns(user_id)
    unwanted = pc.is_in(rows[column].cast(pa.string()), pa.array(sorted(person.names)))
    count: int = pc.sum(unwanted).as_py() or 0
    if count:
        staging = path.with_name(f".forgetting-{path.name}")
        pq.write_table(rows.filter(pc.invert(unwanted)), staging)
        os.replace(staging, path)
    return count


def _from_file(path: pathlib.Path, person: _Person) -> int:
    """Takes the person out of one file below the root."""
    if path.suffix == ".gz" and path.parent.name.startswith("Split-"):
        return _from_examples(path, person)
    if path.name == ExampleStatistics.FILE:
        return _from_statistics(path, person)
    if path.suffix in (".sqlite", ".db"):
        return _from_sqlite(path, person)
    if path.suffix == ".parquet":
        return _from_parquet(path, "user_id", person)
    if path.suffix == ".jsonl":
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not person.is_in_line(line)]
        if len(kept) < len(lines):
            path.write_text("".join(kept), encoding="utf-8")
        return len(lines) - len(kept)
    if path.suffix in REPORTS and person.is_in_bytes(_content(path)):
        path.unlink()
        return 1
    return 0


def _from_examples(path: pathlib.Path, person: _Person) -> int:
    import tensorflow as tf

    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path), "GZIP")]
    kept = [record for record in records if not any(map(person.owns, _user_ids(tf.train.Example.FromString(record))))]
    if len(kept) < len(records):
        staging = path.with_name(f".forgetting-{path.name}")
        with tf.io.TFRecordWriter(str(staging), tf.io.TFRecordOptions("GZIP", compression_level=1)) as writer:
            for record in kept:
                writer.write(record)
        os.replace(staging, path)
    return len(records) - len(kept)


def _user_ids(example: Any) -> list[str]:
    found = example.features.feature
    ids = found["user_id"].bytes_list.value if "user_id" in found else ()
    return [user_id.decode() for user_id in ids]


def _from_statistics(path: pathlib.Path, person: _Person) -> int:
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


def _from_sqlite(path: pathlib.Path, person: _Person) -> int:
    """Deletes the person's rows from every table with a `user_id`, and what SQLite keeps of deleted rows."""
    count = 0
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA secure_delete = ON")
        for table in _tables_with_users(database):
            places = ", ".join("?" * len(person.names))
            query = f'DELETE FROM "{table}" WHERE user_id IN ({places})'
            count += database.execute(query, sorted(person.names)).rowcount
        if count:
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return count


def _tables_with_users(database: sqlite3.Connection) -> Iterator[str]:
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        columns = {row[1] for row in database.execute(f'PRAGMA table_info("{table}")')}
        if "user_id" in columns:
            yield table


def _trained_with(metadata: str, examples: Collection[str]) -> list[str]:
    """The models whose lineage goes back to one of the artifacts, by path."""
    from homefeed.pipeline.runner.metadata import MetadataStore, Record

    store = MetadataStore(metadata)

    def comes_from(artifact: Record) -> bool:
        if str(artifact.path) in examples:
            return True
        made = store.producer(artifact)
        return made is not None and any(map(comes_from, made[1].values()))

    found = [record for name in MODEL_TYPES for record in store.all(name) if comes_from(record)]
    return sorted(str(record.path) for record in found)
