"""The three tables as they lie on disk: which files, and their rows as typed Arrow batches.

A bad row never stops the reading and never disappears: it comes back as a `BadRow` that says why. Reading is
batch-wise and in constant memory, whatever the size of a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from homefeed.schemas import values
from homefeed.schemas.dataset import DatasetError, Feature, Table
from homefeed.schemas.tables import delimited, json_lines, parquet
from homefeed.schemas.tables.files import Format
from homefeed.schemas.tables.rows import BadRow, Batch, RawRows

if TYPE_CHECKING:
    import pyarrow as pa


def column_names(stream: BinaryIO, file_format: Format) -> list[str]:
    """The columns of one file, by its own names. In JSON lines: those of the first row that has any.

    Raises:
        DatasetError: a column is there twice, or the header cannot be read.
    """
    if file_format == "parquet":
        names = parquet.column_names(stream)
    elif file_format == "jsonl":
        names = json_lines.column_names(stream)
    else:
        names, _, _ = delimited.read_header(stream, file_format)
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DatasetError(f"The columns {', '.join(twice)} are there more than once: {', '.join(names)}.")
    return names


def arrow_schema(features: dict[str, Feature]) -> pa.Schema:
    """Types of the columns of `Batch.rows`."""
    import pyarrow as pa

    return pa.schema([(name, values.arrow_type(feature.kind)) for name, feature in features.items()])


def read_batches(
    stream: BinaryIO, file_format: Format, table: Table, features: dict[str, Feature]
) -> Iterator[Batch]:
    """Reads a file of a table, as one batch after the other.

    Args:
        stream: already decompressed.
        file_format: how to read it.
        table: for the names that columns have in the file.
        features: the columns that are wanted, by our names. One that the file lacks is null.
    """
    names = {name: table.columns.get(name, name) for name in features}
    readers = {
        "csv": delimited.read,
        "tsv": delimited.read,
        "jsonl": json_lines.read,
        "parquet": parquet.read,
    }
    for raw in readers[file_format](
        stream, file_format, {names[name]: feature for name, feature in features.items()}
    ):
        yield _understand(raw, features, names)


def _understand(raw: RawRows, features: dict[str, Feature], names: dict[str, str]) -> Batch:
    """Turns text into values; the first value of a row that cannot be understood makes the row bad."""
    import pyarrow as pa

    bad = np.zeros(len(raw.lines), bool)
    bad_rows = list(raw.bad)
    columns = []
    for name, feature in features.items():
        text = raw.columns.get(names[name])
        if text is None:
            text = pa.nulls(len(bad), pa.string())
        column, wrong, why = values.understand(text, feature)
        columns.append(column)
        for row in np.flatnonzero(wrong & ~bad):
            bad_rows.append(_bad_row(raw, int(row), names[name], text, why))
        bad |= wrong
    rows = pa.RecordBatch.from_arrays(columns, schema=arrow_schema(features))
    if bad.any():
        rows = rows.filter(pa.array(~bad))
    return Batch(rows, raw.lines[~bad], tuple(sorted(bad_rows, key=lambda row: row.line)))


def _bad_row(raw: RawRows, row: int, column: str, text: pa.Array, why: values.Why) -> BadRow:
    value = text[row].as_py()
    return BadRow(int(raw.lines[row]), column, None if value is None else str(value), why(row), raw.raw(row))
