"""Rows of a table as Examples want them: the last of each key, and every column a list."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def last_of_each(rows: pa.RecordBatch, key: str) -> pa.RecordBatch:
    """The rows without those that a later row with the same key replaces."""
    codes = rows[key].dictionary_encode().indices.to_numpy()
    _, from_end = np.unique(codes[::-1], return_index=True)
    return take(rows, np.sort(len(codes) - 1 - from_end))


def titled(items: pa.RecordBatch) -> pa.RecordBatch:
    """Items, of which those without a title go by their id."""
    titles = items["item_id"]
    if "title" in items.schema.names:
        titles = pc.coalesce(items["title"], titles)
    columns = dict(zip(items.schema.names, items.columns, strict=True)) | {"title": titles}
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def join_batches(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """All rows in one batch, also where there are none."""
    together = pa.Table.from_batches(batches, schema).combine_chunks().to_batches()
    return together[0] if together else pa.RecordBatch.from_pylist([], schema)


def list_rows(rows: pa.RecordBatch) -> pa.RecordBatch:
    """One row each, every column a list: empty where the value is missing."""
    columns = [
        column if pa.types.is_list(column.type) else one_each(column) for column in map(_as_bytes, rows.columns)
    ]
    return pa.RecordBatch.from_arrays(columns, rows.schema.names)


def take(rows: pa.RecordBatch, positions: npt.NDArray[np.int64]) -> pa.RecordBatch:
    """The rows at these positions, in this order."""
    return pa.RecordBatch.from_arrays(
        [column.take(pa.array(positions)) for column in rows.columns], schema=rows.schema
    )


def one_each(column: pa.Array) -> pa.Array:
    """[num_rows] lists of one value, empty where it is null."""
    column = _as_bytes(column)
    offsets = np.concatenate([[0], np.cumsum(pc.is_valid(column).to_numpy(zero_copy_only=False))])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), column.drop_null())


def no_nulls(column: pa.Array) -> pa.Array:
    """Inside a list, a missing value needs a stand-in, so that lists stay aligned: "", NaN or 0."""
    column = _as_bytes(column)
    stand_in = b"" if pa.types.is_binary(column.type) else np.nan if pa.types.is_floating(column.type) else 0
    return column.fill_null(stand_in)


def _as_bytes(column: pa.Array) -> pa.Array:
    """tf.train.Example knows bytes, not strings."""
    if pa.types.is_string(column.type):
        return column.cast(pa.binary())
    return column.cast(pa.list_(pa.binary())) if column.type == pa.list_(pa.string()) else column
