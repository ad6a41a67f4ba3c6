"""Takes a person out of the stored tables."""

from __future__ import annotations

import codecs
import os
import pathlib
from collections.abc import Collection, Sequence

from homefeed.pipeline.forget.person import Person
from homefeed.schemas import tables
from homefeed.schemas.columns import Feature
from homefeed.schemas.dataset import Table


def from_table(file: tables.File, table: Table, person: Person, columns: Sequence[str] = ("user_id",)) -> int:
    """Rewrites a table's file without the person's rows, and without bad rows that name them.

    Args:
        file: of the table.
        table: its description.
        person: whom to forget.
        columns: that hold ids of users.
    """
    starts, unwanted = set[int](), set[int]()
    for batch in tables.read_file(file, table, {name: Feature(kind="id") for name in columns}):
        starts |= {*batch.lines.tolist(), *(row.line for row in batch.bad)}
        for users in (column.to_pylist() for column in batch.rows.columns):
            unwanted |= {
                line for line, user in zip(batch.lines.tolist(), users, strict=True) if user and person.owns(user)
            }
        unwanted |= {row.line for row in (*batch.bad, *batch.lost) if person.is_in_text(row.raw)}
    if not unwanted:
        return 0
    path = pathlib.Path(file.path)
    staging = path.with_name(f".forgetting-{path.name}")
    if file.format == "parquet":
        _copy_parquet(path, staging, unwanted)
    else:
        _copy_lines(file, table.encoding, staging, starts, unwanted)
    os.replace(staging, path)
    return len(unwanted)


def from_parquet(path: pathlib.Path, person: Person) -> int:
    """Rewrites a Parquet file without the rows whose `user_id` is the person's."""
    return from_table(tables.File(str(path), "parquet"), Table(path=str(path)), person)


def _copy_lines(
    file: tables.File, encoding: str, target: pathlib.Path, starts: Collection[int], unwanted: Collection[int]
) -> None:
    """All rows but the unwanted ones, given by the lines where they begin, in the file's own encoding."""
    from apache_beam.io.filesystems import FileSystems

    encoder = codecs.getincrementalencoder(encoding)("surrogateescape")
    with tables.open_file(file, encoding) as source, FileSystems.create(str(target)) as sink:
        dropping = False
        for number, line in enumerate(iter(source.readline, b""), 1):
            if number in starts:
                dropping = number in unwanted
            if not dropping:
                sink.write(line if encoding == "utf-8" else encoder.encode(line.decode("utf-8", "surrogateescape")))


def _copy_parquet(path: pathlib.Path, target: pathlib.Path, unwanted: Collection[int]) -> None:
    import numpy as np
    import pyarrow.parquet as pq

    rows = pq.ParquetFile(path).read()
    kept = np.setdiff1d(np.arange(rows.num_rows), np.fromiter(unwanted, np.int64) - 1)
    pq.write_table(rows.take(kept), target)
