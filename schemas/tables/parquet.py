"""Rows of Parquet. A field of a struct has a name with dots: `user.id`; of a list of structs, it is a list."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from homefeed.schemas.columns import Feature, Kind
from homefeed.schemas.dataset import DatasetError, Table, UnreachableError
from homefeed.schemas.tables.files import File
from homefeed.schemas.tables.rows import Faults, RawRows, as_texts

if TYPE_CHECKING:
    import pyarrow as pa

NUM_ROWS = 50_000  # At once.
EXACT_BELOW = {16: 2**11, 32: 2**24, 64: 2**53}  # Bits of a float → from where on it has no code for some integers.
LOST_DIGITS = "is a float of more digits than it holds, so it may stand for several ids; write them as text"
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def column_names(stream: BinaryIO, file: File, wanted: Mapping[str, Feature]) -> list[str]:
    """The columns of the file's schema and, of structs, the wanted fields.

    Raises:
        DatasetError: the file cannot be read, or a wanted column cannot be what it is declared to be.
    """
    with _telling(file):
        schema = _open(stream).schema_arrow
    nested = []
    for name, feature in wanted.items():
        if (kind := _type_at(schema, name)) is not None:
            _check(file, name, kind, feature.kind)
            nested += [name] if name not in schema.names else []
    return [*schema.names, *nested]


def read(stream: BinaryIO, file: File, table: Table, wanted: Mapping[str, Feature]) -> Iterator[RawRows]:
    """Reads a file, some rows at a time.

    Raises:
        DatasetError: the file cannot be read.
    """
    with _telling(file):
        parquet = _open(stream)
        schema = parquet.schema_arrow
        paths = {name: _path(schema, name) for name in wanted if _type_at(schema, name) is not None}
        line = 1
        for rows in parquet.iter_batches(NUM_ROWS, columns=sorted({path[0] for path in paths.values()})):
            yield _parse(rows, paths, wanted, line)
            line += rows.num_rows


@contextlib.contextmanager
def _telling(file: File) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise UnreachableError(f"{file.path} cannot be read: {error.strerror}.") from error
        raise DatasetError(f"{file.path} cannot be read as Parquet: {' '.join(str(error).split())[:300]}") from error


def _open(stream: BinaryIO) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(stream)


# --- Where a column is ---


def _path(schema: pa.Schema, name: str) -> list[str]:
    return [name] if name in schema.names else name.split(".")


def _type_at(schema: pa.Schema, name: str) -> pa.DataType | None:
    """The type of a column or of a struct's field, in as many lists as are around it; None: it is not there."""
    import pyarrow as pa

    first, *rest = _path(schema, name)
    if first not in schema.names:
        return None
    kind, depth = schema.field(schema.names.index(first)).type, 0  # By its name it is not found where that is twice.
    for step in [*rest, None]:
        while _is_list(kind):
            kind, depth = kind.value_type, depth + 1
        if step is None:
            break
        if not pa.types.is_struct(kind) or kind.get_field_index(step) < 0:
            return None
        kind = kind[step].type
    for _ in range(depth):
        kind = pa.list_(kind)
    return kind


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _check(file: File, name: str, found: pa.DataType, wanted: Kind) -> None:
    import pyarrow as pa

    inner = found.value_type if _is_list(found) else found
    if pa.types.is_struct(inner):
        fields = sorted((not pa.types.is_string(field.type), field.name) for field in inner)  # Texts before numbers.
        why = f"holds structs; name one of their fields in `columns`: {', '.join(f'{name}.{f}' for _, f in fields)}"
    elif pa.types.is_nested(inner):
        why = f"holds {found}; expected one value, or a list of them"
    elif _is_list(found) and wanted not in ("categories", "embedding"):
        why = f"holds {found}, expected one value of kind {wanted}; declare it as `categories` or `embedding`"
    elif wanted == "timestamp" and pa.types.is_time(inner):
        why = f"holds times of day ({found}) without a date, expected times"
    else:
        return
    raise DatasetError(f"{file.path}: the column {name} {why}.")


def _dig(column: pa.Array, path: Sequence[str]) -> pa.Array:
    import pyarrow.compute as pc

    if _is_list(column.type) and path:
        return _listed(column, _dig(column.flatten(), path))
    if not path:
        return column
    return _dig(pc.struct_field(column, [column.type.get_field_index(path[0])]), path[1:])


def _listed(lists: pa.Array, values: pa.Array) -> pa.Array:
    """Other values in the same lists."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    others = pa.ListArray.from_arrays(offsets, values)
    return pc.if_else(pc.is_valid(lists), others, pa.nulls(len(lists), others.type)) if lists.null_count else others


# --- What its values are as text ---


def _parse(rows: pa.RecordBatch, paths: Mapping[str, list[str]], wanted: Mapping[str, Feature], line: int) -> RawRows:
    columns, faults = {}, {}
    for name, (first, *rest) in paths.items():
        column = _dig(rows.column(rows.schema.get_field_index(first)), rest)
        columns[name], faults[name] = to_text(column, wanted[name].kind)

    def raw(row: int) -> str:
        return json.dumps(rows.slice(row, 1).to_pylist()[0], ensure_ascii=False, default=str)

    return RawRows(columns, np.arange(rows.num_rows) + line, raw, [], faults)


def to_text(column: pa.Array, kind: Kind) -> tuple[pa.Array, Faults]:
    """A typed column as the text it would have in CSV; times as Unix seconds, int64; and what is not UTF-8."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = column.type
    if pa.types.is_dictionary(found):
        return to_text(column.dictionary_decode(), kind)
    if pa.types.is_fixed_size_list(found):
        return to_text(pa.array(column.to_pylist(), pa.list_(found.value_type)), kind)
    if _is_list(found):
        inner, inside = to_text(column.flatten(), "text")
        lists = _listed(column, inner)
        owners = pc.list_parent_indices(lists).to_pylist() if inside else []
        return lists, {owners[position]: fault for position, fault in inside.items()}
    if pa.types.is_null(found):
        return column.cast(pa.string()), {}
    if pa.types.is_timestamp(found) or pa.types.is_date(found):
        return (_seconds(column) if kind == "timestamp" else column.cast(pa.string())), {}
    if pa.types.is_duration(found):
        return pc.divide(column.cast(pa.int64()).cast(pa.float64()), PER_SECOND[found.unit]).cast(pa.string()), {}
    if pa.types.is_floating(found):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, found), column)
        if kind == "id":
            return _ids(column)
    if pa.types.is_binary(found) or pa.types.is_large_binary(found) or pa.types.is_fixed_size_binary(found):
        return _decoded(column)
    try:
        return column.cast(pa.string()), {}
    except pa.ArrowNotImplementedError:
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string()), {}


def _ids(column: pa.Array) -> tuple[pa.Array, Faults]:
    """Ids that became floats, by a gap among them: as whole numbers, if they are; and those that lost digits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = column.cast(pa.float64()).fill_null(0).to_numpy()
    lost = np.abs(numbers) >= EXACT_BELOW[column.type.bit_width]
    kept = pc.if_else(pa.array(lost), pa.scalar(None, column.type), column)
    are_whole = bool(np.all(lost | (np.floor(numbers) == numbers)))
    faults = {row: (repr(float(numbers[row])), LOST_DIGITS) for row in np.flatnonzero(lost).tolist()}
    return (kept.cast(pa.int64()) if are_whole else kept).cast(pa.string()), faults


def _seconds(column: pa.Array) -> pa.Array:
    """[num_rows] int64 Unix seconds, rounded down."""
    import pyarrow as pa

    if pa.types.is_date(column.type):
        return column.cast(pa.timestamp("s")).cast(pa.int64())
    since: npt.NDArray[Any] = column.cast(pa.int64()).fill_null(0).to_numpy()
    return pa.array(since // PER_SECOND[column.type.unit], mask=column.is_null().to_numpy(zero_copy_only=False))


def _decoded(column: pa.Array) -> tuple[pa.Array, Faults]:
    import pyarrow as pa

    try:
        return column.cast(pa.binary()).cast(pa.string()), {}
    except pa.ArrowInvalid:
        texts = [None if v is None else v.decode("utf-8", "surrogateescape") for v in column.to_pylist()]
        return as_texts(texts)
