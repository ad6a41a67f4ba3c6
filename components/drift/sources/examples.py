"""Examples, as ExampleGen writes them."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from homefeed.components.artifacts import example_io
from homefeed.components.drift.summary import Summary, summarize_batches
from homefeed.schemas.columns import STANDARD_COLUMNS, Feature, TableName
from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.values import arrow_type

BATCH_SIZE = 1000


def from_examples(path: pathlib.Path, files: dict[pathlib.Path, list[pathlib.Path]]) -> Summary:
    """Counts Examples that ExampleGen wrote. Columns that homefeed does not know are taken for what they look like.

    Raises:
        DatasetError: they are of none of the three tables.
    """
    features: dict[TableName, dict[str, Feature]] = {}
    parts: dict[TableName, Iterable[pa.RecordBatch]] = {}
    for folder, shards in files.items():
        batches = (rows for shard in shards for rows in example_io.read_batches(shard, BATCH_SIZE))
        names = {name for rows in batches for name in rows.schema.names}
        table = _table_of(names)
        if table is None:
            raise DatasetError(
                f"{folder} holds Examples of none of the tables: {', '.join(sorted(names)) or 'none'}."
            )
        features[table] = {}
        parts[table] = _flat_batches(shards, table, features[table])
    return summarize_batches(str(path), parts, features)


def _table_of(columns: set[str]) -> TableName | None:
    keys: dict[TableName, set[str]] = {
        "interactions": {"user_id", "item_id", "timestamp"},
        "items": {"item_id"},
        "users": {"user_id"},
    }
    return next((table for table, wanted in keys.items() if wanted <= columns), None)


def _flat_batches(
    shards: Iterable[pathlib.Path], table: TableName, features: dict[str, Feature]
) -> Iterator[pa.RecordBatch]:
    """One row an event, item or user; adds to the features what is found."""
    for shard in shards:
        for rows in example_io.read_batches(shard, BATCH_SIZE):
            columns: dict[str, pa.Array] = {}
            lengths = rows["item_id"].value_lengths().to_numpy() if table == "interactions" else None
            for name, column in zip(rows.schema.names, rows.columns, strict=True):
                feature = STANDARD_COLUMNS[table].get(name) or features.get(name) or _guess(column)
                if feature is not None:
                    features[name] = feature
                    columns[name] = _flat(column, name, feature, lengths)
            yield pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _guess(column: pa.Array) -> Feature | None:
    """What a column looks like; None where that cannot be told (no value) or is not judged (embeddings)."""
    if pa.types.is_null(column.type):
        return None
    longest = max(column.value_lengths().fill_null(0).to_pylist(), default=0)
    if pa.types.is_floating(column.type.value_type):
        return Feature(kind="embedding", size=longest) if longest > 1 else Feature(kind="number")
    if pa.types.is_integer(column.type.value_type):
        return Feature(kind="timestamp")
    return Feature(kind="categories" if longest > 1 else "category")


def _flat(column: pa.Array, name: str, feature: Feature, lengths: npt.NDArray[np.int64] | None) -> pa.Array:
    """[num_rows] values, null where missing; of interactions (`lengths` events a row) one for each event."""
    wanted = arrow_type(feature.kind)
    if pa.types.is_null(column.type):
        return pa.nulls(len(column) if lengths is None else int(lengths.sum()), wanted)
    counts = column.value_lengths().fill_null(0).to_numpy()
    values = column.flatten()
    if pa.types.is_list(wanted):
        ends = np.cumsum(counts)
        offsets = pa.array(np.append(ends - counts, ends[-1:]), pa.int32(), mask=np.append(counts == 0, False))
        return pa.ListArray.from_arrays(offsets, _as(values, wanted.value_type))
    if name == "user_id" and lengths is not None:
        values = values.take(pa.array(np.repeat(np.arange(len(lengths)), lengths)))
    elif lengths is None:
        values = values.take(pa.array(np.cumsum(counts) - counts, mask=counts == 0))  # The first of each row.
    values = _as(values, wanted)
    if pa.types.is_string(wanted):
        return pc.if_else(pc.equal(values, ""), pa.scalar(None, wanted), values)
    return pc.if_else(pc.is_nan(values), pa.scalar(None, wanted), values) if pa.types.is_floating(wanted) else values


def _as(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Strings come as bytes."""
    return values.cast(pa.binary()).cast(wanted) if pa.types.is_string(wanted) else values.cast(wanted)
