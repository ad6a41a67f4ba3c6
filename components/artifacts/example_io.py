"""Between folders of gzip TFRecords of tf.train.Example and Arrow, column by column.

Every component reads with it, so importing it must cost nothing: TensorFlow and Arrow come with the first call.
"""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts.coded import Coded
from homefeed.components.artifacts.types import Examples
from homefeed.schemas.scratch import replacing

if TYPE_CHECKING:
    import pyarrow as pa

READ_AT_ONCE = 1000  # Examples decoded together; one of interactions holds a user's whole list.
RAGGED_TYPES = {"i": "int64", "u": "int64", "b": "int64", "f": "float32", "O": "binary", "S": "binary"}

Column = tuple[npt.NDArray[Any] | Coded, npt.NDArray[np.int64]]
"""Flat values, and row splits `[num_rows + 1]`."""


def read_split(examples: Examples, split: str) -> pa.RecordBatch:
    """All Examples of a split: one row each, every column a list; a column that no Example has is absent."""
    return read_whole(examples.split_files(split))


def read_whole(files: Iterable[pathlib.Path | str]) -> pa.RecordBatch:
    """All Examples of some shards, as of a split."""
    from tfx_bsl.coders import example_coder

    records = itertools.chain.from_iterable(_read_records(files, READ_AT_ONCE))
    return example_coder.ExamplesToRecordBatchDecoder().DecodeBatch(list(records))


def read_batches(file: pathlib.Path | str, batch_size: int) -> Iterator[pa.RecordBatch]:
    """The Examples of one shard, some at a time."""
    from tfx_bsl.coders import example_coder

    return map(example_coder.ExamplesToRecordBatchDecoder().DecodeBatch, _read_records([file], batch_size))


def _read_records(files: Iterable[pathlib.Path | str], at_once: int) -> Iterator[list[bytes]]:
    """Serialised Examples, some at a time: TensorFlow takes 0.1 ms for each thing that it hands over."""
    import tensorflow as tf

    paths = [str(file) for file in files]
    records = tf.data.TFRecordDataset(paths, compression_type="GZIP", buffer_size=1 << 20)
    return (batch.tolist() for batch in records.batch(at_once).as_numpy_iterator())


def read_parts(examples: Examples, split: str) -> Iterator[pa.RecordBatch]:
    """The Examples of a split, some at a time."""
    return read_shards(examples.split_files(split))


def read_shards(files: Iterable[pathlib.Path | str]) -> Iterator[pa.RecordBatch]:
    """The Examples of some shards, some at a time."""
    return itertools.chain.from_iterable(read_batches(file, READ_AT_ONCE) for file in files)


def some_of(batch: pa.RecordBatch, rows: npt.NDArray[np.bool_], without: Collection[str] = ()) -> pa.RecordBatch:
    """The rows for which the mask is True, without some columns."""
    import pyarrow as pa

    columns = {
        name: column for name, column in zip(batch.schema.names, batch.columns, strict=True) if name not in without
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns)).filter(pa.array(rows))


def join_columns(batches: Iterable[pa.RecordBatch]) -> dict[str, Column]:
    """Batches behind each other, as arrays: of a batch no more than its numbers and codes are held.

    Args:
        batches: every column a list; a column that a batch lacks is empty there.
    """
    num_rows: list[int] = []
    parts: dict[str, dict[int, tuple[pa.Array, npt.NDArray[np.int64]]]] = {}
    for batch in batches:
        for name, array in zip(batch.schema.names, batch.columns, strict=True):
            if array.type != "null":
                lengths = np.asarray(array.value_lengths().fill_null(0), np.int64)
                parts.setdefault(name, {})[len(num_rows)] = _compact(array.flatten()), lengths
        num_rows.append(batch.num_rows)
    return {name: _join(parts.pop(name), num_rows) for name in list(parts)}


def _compact(values: pa.Array) -> pa.Array:
    """Strings as a dictionary."""
    import pyarrow as pa

    return values.dictionary_encode() if values.type in (pa.binary(), pa.large_binary()) else values


def _join(parts: Mapping[int, tuple[pa.Array, npt.NDArray[np.int64]]], num_rows: Iterable[int]) -> Column:
    """One column of some of the batches, by their places."""
    lengths = [parts[place][1] if place in parts else np.zeros(size, np.int64) for place, size in enumerate(num_rows)]
    row_splits = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    arrays = [values for values, _ in parts.values()]
    if hasattr(arrays[0], "dictionary"):
        return Coded.join(arrays), row_splits
    return np.concatenate([array.to_numpy(zero_copy_only=False) for array in arrays]), row_splits


def write_split(examples: Examples, split: str, batch: pa.RecordBatch, shard: int = 0, num_shards: int = 1) -> None:
    """Writes one shard; equal batches give equal bytes."""
    write_batches(examples, split, [batch], shard, num_shards)


def write_batches(
    examples: Examples, split: str, batches: Iterable[pa.RecordBatch], shard: int = 0, num_shards: int = 1
) -> None:
    """Writes one shard, of which a part is in memory; how the rows are parted does not change the bytes."""
    import tensorflow as tf

    path = shard_file(examples, split, shard, num_shards)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The quickest level: a third of the time of the usual one, for a sixth more bytes.
    options = tf.io.TFRecordOptions("GZIP", compression_level=1)
    # In one step: an engine may do the same work twice at once.
    with replacing(path) as place, tf.io.TFRecordWriter(str(place), options) as writer:
        for record in itertools.chain.from_iterable(map(serialize, batches)):
            writer.write(record)


def shard_file(examples: Examples, split: str, shard: int, num_shards: int) -> pathlib.Path:
    """Where a shard lies, or will."""
    return examples.split_dir(split) / f"data-{shard:05d}-of-{num_shards:05d}.gz"


def write_none(examples: Examples, splits: Iterable[str]) -> None:
    """Splits of nothing: where a table is not there, there is one kind of artifact all the same."""
    import pyarrow as pa

    for split in splits:
        write_split(examples, split, pa.RecordBatch.from_pylist([], pa.schema([])))


def serialize(batch: pa.RecordBatch) -> Iterator[bytes]:
    """The rows as tf.train.Examples, features in the order of the columns.

    The coder writes an Example's features in a random order, so each column is encoded by itself. Serialised
    messages laid end to end are, by protobuf's definition, the serialisation of the merged message.
    """
    import pyarrow as pa
    from tfx_bsl.coders import example_coder

    if not batch.num_rows:
        return iter(())
    names = batch.schema.names
    columns = (
        pa.RecordBatch.from_arrays([column], [name]) for name, column in zip(names, batch.columns, strict=True)
    )
    return map(b"".join, zip(*map(example_coder.RecordBatchToExamples, columns), strict=True))


def ragged(batch: pa.RecordBatch, column: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]] | None:
    """A column as flat values and row splits `[num_rows + 1]`; a null row is an empty one. None: no column."""
    import pyarrow as pa

    index = batch.schema.get_field_index(column)
    if index < 0:
        return None
    array = batch.column(index)
    if pa.types.is_null(array.type):
        return None
    lengths = np.asarray(array.value_lengths().fill_null(0))
    row_splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return array.flatten().to_numpy(zero_copy_only=False), row_splits


def single(batch: pa.RecordBatch, column: str, default: Any) -> npt.NDArray[Any]:
    """[num_rows] the first value of each row, `default` where there is none."""
    found = ragged(batch, column)
    dtype = object if isinstance(default, bytes) else type(default)
    if found is None:
        return np.full(batch.num_rows, default, dtype=dtype)
    values, row_splits = found
    out = np.full(batch.num_rows, default, dtype=object if values.dtype == object else values.dtype)
    present = np.diff(row_splits) > 0
    out[present] = values[row_splits[:-1][present]]
    return out


def record_batch(columns: Mapping[str, tuple[npt.NDArray[Any], npt.NDArray[np.int64]]]) -> pa.RecordBatch:
    """The inverse of `ragged`: columns of flat values and row splits."""
    import pyarrow as pa

    arrays = [
        pa.LargeListArray.from_arrays(
            pa.array(row_splits, pa.int64()), pa.array(values, RAGGED_TYPES[values.dtype.kind])
        )
        for values, row_splits in columns.values()
    ]
    return pa.RecordBatch.from_arrays(arrays, list(columns))


def rectangular(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """A `[num_rows, size]` or `[num_rows]` array as flat values and row splits."""
    size = values.shape[1] if values.ndim == 2 else 1
    return values.reshape(-1), np.arange(len(values) + 1, dtype=np.int64) * size
