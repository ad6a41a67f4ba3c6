"""The three tables as they lie on disk: which files, and their rows as typed Arrow batches.

A bad row never stops the reading and never disappears: it comes back as a `BadRow` that says why. Reading is
batch-wise and in constant memory, whatever the size of a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from homefeed.schemas import times, values
from homefeed.schemas.columns import Feature, Unit
from homefeed.schemas.dataset import Table
from homefeed.schemas.tables import delimited, json_lines, parquet
from homefeed.schemas.tables.files import File
from homefeed.schemas.tables.rows import BadRow, Batch, RawRows
from homefeed.schemas.tables.streams import open_file

if TYPE_CHECKING:
    import pyarrow as pa

READERS = {"csv": delimited.read, "tsv": delimited.read, "jsonl": json_lines.read, "parquet": parquet.read}


def arrow_schema(features: Mapping[str, Feature]) -> pa.Schema:
    """Types of the columns of `Batch.rows`."""
    import pyarrow as pa

    return pa.schema([(name, values.arrow_type(feature.kind)) for name, feature in features.items()])


def read_file(
    file: File, table: Table, features: Mapping[str, Feature], units: Mapping[str, Unit] | None = None
) -> Iterator[Batch]:
    """Opens and reads a file of a table, as one batch after the other.

    Args:
        file: of the table.
        table: how it is written, and the names that columns have in it.
        features: the columns that are wanted, by our names. One that the file lacks is null.
        units: of times that are numbers, where none is declared; else the file's first numbers tell.

    Raises:
        DatasetError: the file cannot be read, or not to its end.
    """
    with open_file(file, table.encoding) as stream:
        yield from read_batches(stream, file, table, features, units)


def read_batches(
    stream: BinaryIO,
    file: File,
    table: Table,
    features: Mapping[str, Feature],
    units: Mapping[str, Unit] | None = None,
) -> Iterator[Batch]:
    """As `read_file`, of a stream: unpacked, in UTF-8."""
    names = {name: table.columns.get(name, name) for name in features}
    known = dict(units or {})
    for raw in read_raw(stream, file, table, features):
        unknown = {name: feature for name, feature in features.items() if name not in known}
        known |= {name: times.choose_unit(counts) for name, counts in count_units(raw, table, unknown).items()}
        yield _understand(raw, features, names, known)


def read_raw(stream: BinaryIO, file: File, table: Table, features: Mapping[str, Feature]) -> Iterator[RawRows]:
    """Rows as text, before their values are understood, with the columns that the file's folders give to all rows."""
    import pyarrow as pa

    wanted = {table.columns.get(name, name): feature for name, feature in features.items()}
    for raw in READERS[file.format](stream, file, table, wanted):
        for name, value in file.partitions:
            if name in wanted:
                column = pa.array([value], pa.string()).take(pa.array(np.zeros(len(raw.lines), np.int64)))
                raw.columns.setdefault(name, column)
        yield raw


def count_units(raw: RawRows, table: Table, features: Mapping[str, Feature]) -> dict[str, Counter[Unit]]:
    """How many numbers are, by their size, in which unit, for each column of times that has numbers and no unit."""
    found = {}
    for name, feature in features.items():
        text = raw.columns.get(table.columns.get(name, name))
        if feature.kind == "timestamp" and feature.unit is None and text is not None:
            found[name] = values.count_units(text)
    return {name: counts for name, counts in found.items() if counts}


def _understand(
    raw: RawRows, features: Mapping[str, Feature], names: Mapping[str, str], units: Mapping[str, Unit]
) -> Batch:
    """Turns text into values. One that cannot be read is lost; where its column must have one, so is the row."""
    import pyarrow as pa

    bad = np.zeros(len(raw.lines), bool)
    bad_rows, lost, columns = list(raw.bad), list[BadRow](), []
    for name, feature in features.items():
        text = raw.columns.get(names[name], pa.nulls(len(bad), pa.string()))
        column, wrong, why = values.understand(text, feature, units.get(name))
        columns.append(column)
        faults = raw.faults.get(names[name], {})
        wrong[list(faults)] = True
        for row in np.flatnonzero(wrong & ~bad).tolist():
            value, reason = faults[row] if row in faults else (_as_text(text, row), why(row))
            fault = BadRow(int(raw.lines[row]), names[name], value, reason, raw.raw(row))
            (bad_rows if feature.required else lost).append(fault)
        if feature.required:
            bad |= wrong
    rows = pa.RecordBatch.from_arrays(columns, schema=arrow_schema(features))
    if bad.any():
        rows = rows.filter(pa.array(~bad))
        unusable = set(raw.lines[bad].tolist())
        lost = [value for value in lost if value.line not in unusable]
    return Batch(rows, raw.lines[~bad], tuple(sorted(bad_rows, key=lambda row: row.line)), tuple(lost))


def _as_text(text: pa.Array, row: int) -> str | None:
    value = text[row].as_py()
    return None if value is None else str(value)
