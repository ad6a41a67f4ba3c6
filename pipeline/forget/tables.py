"""Takes a person out of the stored tables."""

from __future__ import annotations

import os
import pathlib

from homefeed.pipeline.forget.person import Person
from homefeed.schemas import spans, tables
from homefeed.schemas.dataset import Dataset, Feature, TableName


def table_files(data_dir: pathlib.Path, dataset: Dataset, table: TableName) -> list[pathlib.Path]:
    """All local files of a table, of every span and version."""
    pattern = tables.table_pattern(data_dir, dataset.table(table))
    if tables.is_uri(pattern):
        return []
    matched = pathlib.Path("/").glob(spans.as_glob(pattern).lstrip("/"))
    return sorted(path for path in matched if path.is_file())


def from_table(path: pathlib.Path, dataset: Dataset, name: TableName, person: Person) -> int:
    """Rewrites a table without the person's rows, and without bad rows that name them."""
    table = dataset.table(name)
    file_format = tables.format_of(str(path), table)
    if file_format == "parquet":
        return from_parquet(path, table.columns.get("user_id", "user_id"), person)
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


def from_parquet(path: pathlib.Path, column: str, person: Person) -> int:
    """Rewrites a Parquet file without the rows whose `column` names the person."""
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
