"""Rows of Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from homefeed.schemas import values
from homefeed.schemas.dataset import Feature
from homefeed.schemas.tables.rows import BadRow, RawRows

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET_ROWS = 50_000


def column_names(stream: BinaryIO) -> list[str]:
    """Those of the file's schema."""
    import pyarrow.parquet as pq

    names: list[str] = pq.ParquetFile(stream).schema_arrow.names
    return names


def read(stream: BinaryIO, file_format: str, wanted: dict[str, Feature]) -> Iterator[RawRows]:
    """Reads a file, some rows at a time."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(stream)
    present = [name for name in file.schema_arrow.names if name in wanted]
    line = 1
    for rows in file.iter_batches(batch_size=PARQUET_ROWS, columns=present):
        yield _parse_parquet(rows, line)
        line += rows.num_rows


def _parse_parquet(rows: pa.RecordBatch, line: int) -> RawRows:
    bad = np.zeros(rows.num_rows, bool)
    columns = {}
    for name in rows.schema.names:
        columns[name], wrong = values.to_text(rows.column(rows.schema.get_field_index(name)))
        bad |= wrong

    def raw(row: int) -> str:
        return json.dumps(rows.slice(row, 1).to_pylist()[0], ensure_ascii=False, default=str)

    bad_rows = [BadRow(line + int(row), None, None, "not valid UTF-8", raw(int(row))) for row in np.flatnonzero(bad)]
    kept = np.flatnonzero(~bad)
    if bad_rows:
        columns = {name: column.take(kept) for name, column in columns.items()}
    return RawRows(columns, kept + line, lambda row: raw(int(kept[row])), bad_rows)
