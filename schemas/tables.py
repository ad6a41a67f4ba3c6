"""The three tables as they lie on disk: which files, and their rows as typed Arrow batches.

A bad row never stops the reading and never disappears: it comes back as a `BadRow` that says why. Reading is
batch-wise and in constant memory, whatever the size of a file.
"""

from __future__ import annotations

import csv
import dataclasses
import glob
import io
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from homefeed.schemas import spans, values
from homefeed.schemas.dataset import TABLES, DatasetError, Feature, Table, load_dataset

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["csv", "tsv", "jsonl", "parquet"]

BLOCK_BYTES = 8 << 20  # Read, and so parsed, at once.
MAX_ROW_BYTES = 16 << 20  # Beyond it, a quote that is still open is taken for one that is never closed.
PARQUET_ROWS = 50_000
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".deflate")  # Those that Beam undoes by the file's name.
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be used."""

    line: int  # Where it begins, from 1; in Parquet, the row's number.
    column: str | None  # The file's name of the column; None: the row as a whole.
    value: str | None  # Of that column.
    reason: str  # The same words for the same fault, so that it can be counted.
    raw: str  # As it is in the file; what is not UTF-8 appears as \\xNN.


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some rows of one file, in its order."""

    rows: pa.RecordBatch  # Our column names; types as in `arrow_schema`; null where missing.
    lines: npt.NDArray[np.int64]  # [num_rows], as in BadRow.
    bad: tuple[BadRow, ...]


@dataclasses.dataclass(frozen=True)
class _Raw:
    """Rows as text, before their values are understood."""

    columns: dict[str, pa.Array]  # The file's names → string or list of strings, [num_rows].
    lines: npt.NDArray[np.int64]
    raw: Callable[[int], str]  # Position → the row as it is in the file.
    bad: list[BadRow]


def local_files(data_dir: pathlib.Path) -> list[pathlib.Path]:
    """The local files that `dataset.yaml` names, sorted within each table; tables behind a URI have none.

    Raises:
        DatasetError: a table's path matches no file.
    """
    dataset = load_dataset(data_dir)
    found = []
    for name in TABLES:
        pattern = table_pattern(data_dir, dataset.table(name))
        if is_uri(pattern):
            continue
        matched = glob.glob(spans.as_glob(pattern))
        files = sorted(pathlib.Path(path) for path in matched if pathlib.Path(path).is_file())
        if not files:
            raise missing_table(name, pattern)
        found += files
    return found


def is_uri(pattern: str) -> bool:
    """Whether Beam opens it rather than the operating system."""
    return "://" in pattern


def table_pattern(data_dir: pathlib.Path, table: Table) -> str:
    """Path or glob of a table's files, absolute or a URI."""
    return table.path if is_uri(table.path) else str(data_dir.absolute() / table.path)


def missing_table(name: str, pattern: str) -> DatasetError:
    """The error that there is no such table, with what there is instead."""
    folder = pathlib.Path(pattern).parent
    present = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    there = f"{folder} holds {', '.join(present) or 'nothing'}" if folder.is_dir() else f"there is no {folder}"
    return DatasetError(f"Table {name!r}: no file at {pattern}; {there}. Mend `{name}.path` in dataset.yaml.")


def format_of(path: str, table: Table) -> Format:
    """The declared format, or the one that the file's name tells."""
    if table.format is not None:
        return table.format
    suffixes = [s for s in pathlib.PurePath(path).suffixes if s not in COMPRESSIONS]
    if not suffixes or suffixes[-1].lower() not in SUFFIXES:
        raise DatasetError(
            f"The format of {path} cannot be told from its name. Name it with one of {', '.join(SUFFIXES)}, "
            "or say `format: csv` (tsv, jsonl, parquet) in dataset.yaml."
        )
    return SUFFIXES[suffixes[-1].lower()]


def column_names(stream: BinaryIO, file_format: Format) -> list[str]:
    """The columns of one file, by its own names. In JSON lines: those of the first row that has any.

    Raises:
        DatasetError: a column is there twice, or the header cannot be read.
    """
    if file_format == "parquet":
        import pyarrow.parquet as pq

        names: list[str] = pq.ParquetFile(stream).schema_arrow.names
    elif file_format == "jsonl":
        head = stream.read(BLOCK_BYTES).decode("utf-8-sig", "replace").split("\n")
        rows = (_json_object(line) for line in head if line.strip())
        names = list(next((row for row in rows if isinstance(row, dict)), {}))
    else:
        names, _, _ = _read_header(stream, file_format)
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
        "csv": _read_delimited,
        "tsv": _read_delimited,
        "jsonl": _read_json_lines,
        "parquet": _read_parquet,
    }
    for raw in readers[file_format](
        stream, file_format, {names[name]: feature for name, feature in features.items()}
    ):
        yield _understand(raw, features, names)


def _understand(raw: _Raw, features: dict[str, Feature], names: dict[str, str]) -> Batch:
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


def _bad_row(raw: _Raw, row: int, column: str, text: pa.Array, why: values.Why) -> BadRow:
    value = text[row].as_py()
    return BadRow(int(raw.lines[row]), column, None if value is None else str(value), why(row), raw.raw(row))


# --- Delimited text ---


def _delimiter(file_format: str) -> str:
    return "\t" if file_format == "tsv" else ","


def _read_header(stream: BinaryIO, file_format: str) -> tuple[list[str], bytes, int]:
    """Column names, what was read beyond them, and the number of the line where that begins."""
    buffer = stream.read(BLOCK_BYTES).removeprefix(b"\xef\xbb\xbf")
    try:
        reader = csv.reader(io.StringIO(buffer.decode("utf-8", "surrogateescape")), delimiter=_delimiter(file_format))
        names = [name.strip() for name in next(reader, [])]
        "".join(names).encode()
    except (csv.Error, UnicodeEncodeError) as error:
        raise DatasetError(f"The first line is not a header in UTF-8: {error}.") from error
    rest = buffer.split(b"\n", reader.line_num)
    return names, rest[-1] if len(rest) > reader.line_num else b"", reader.line_num + 1


def _read_delimited(stream: BinaryIO, file_format: str, wanted: dict[str, Feature]) -> Iterator[_Raw]:
    """CSV (RFC 4180) or TSV with the same quoting: blocks that are well-formed at once, others line by line."""
    delimiter = _delimiter(file_format)
    header, buffer, line = _read_header(stream, file_format)
    at_end = False
    while not at_end:
        block = stream.read(BLOCK_BYTES)
        at_end = not block
        buffer += block
        whole = len(buffer) if at_end else buffer.rfind(b"\n") + 1
        if not whole:
            continue
        starts = _find_rows(buffer[:whole], delimiter, at_end)
        if starts is not None:
            used = int(starts[-1])
            raw = _parse_rows(buffer[:used], starts, header, wanted, delimiter, line)
        else:
            is_last = at_end or whole > MAX_ROW_BYTES
            raw, used = _parse_lines(buffer[:whole], header, wanted, delimiter, line, is_last)
        line += buffer.count(b"\n", 0, used)
        buffer = buffer[used:]
        yield raw


def _find_rows(block: bytes, delimiter: str, at_end: bool) -> npt.NDArray[np.int64] | None:
    """[num_rows + 1] where rows begin and where the last whole one ends; None where Arrow cannot tell them.

    That is where something is not UTF-8, a line is empty, or a quote stands elsewhere than around a value or doubled
    inside of one.
    """
    if block.count(b"\r") != block.count(b"\r\n"):
        return None
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        return None
    text = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(text == ord("\n")) + 1
    quotes = np.flatnonzero(text == ord('"')) if b'"' in block else ends[:0]
    if len(quotes):
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]  # The others are inside a quoted value.
    starts = np.concatenate([[0], ends])
    if at_end and starts[-1] < len(block):
        if len(quotes) % 2:
            return None
        starts = np.append(starts, len(block))
    if len(starts) == 1 or not _are_well_placed(quotes[quotes < starts[-1]], block, delimiter):
        return None
    lengths, first = np.diff(starts), text[starts[:-1]]
    return None if np.any((lengths <= 2) & ((first == ord("\n")) | (first == ord("\r")))) else starts


def _are_well_placed(quotes: npt.NDArray[np.int64], block: bytes, delimiter: str) -> bool:
    """Whether quotes, taken in turn as opening and closing, stand where they may (a doubled one does both)."""
    if not len(quotes):
        return True
    text = np.frombuffer(b"\n" + block + b"\n", np.uint8)
    before, after = text[quotes[::2]], text[quotes[1::2] + 2]
    may_open = np.frombuffer(f'{delimiter}\n"'.encode(), np.uint8)
    may_close = np.frombuffer(f'{delimiter}\r\n"'.encode(), np.uint8)
    return bool(np.isin(before, may_open).all() and np.isin(after, may_close).all())


def _parse_rows(
    block: bytes,
    starts: npt.NDArray[np.int64],
    header: list[str],
    wanted: dict[str, Feature],
    delimiter: str,
    line: int,
) -> _Raw:
    """The quick way: 20 times as fast as `_parse_lines`, with the same result."""
    import pyarrow as pa
    import pyarrow.csv

    misfits: list[tuple[int, int]] = []

    def skip(row: Any) -> str:
        misfits.append((row.number - 1, row.actual_columns))
        return "skip"

    quoted = b'"' in block
    table = pyarrow.csv.read_csv(
        pa.BufferReader(block),
        pyarrow.csv.ReadOptions(use_threads=False, column_names=header, block_size=len(block) + 1),
        pyarrow.csv.ParseOptions(
            delimiter=delimiter,
            quote_char='"' if quoted else False,
            newlines_in_values=quoted,
            invalid_row_handler=skip,
        ),
        pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in header},
            include_columns=[name for name in header if name in wanted],
            strings_can_be_null=False,
        ),
    ).combine_chunks()
    fits = np.ones(len(starts) - 1, bool)
    fits[[row for row, _ in misfits]] = False
    positions = np.flatnonzero(fits)
    newlines = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) if quoted else starts[1:] - 1
    lines = line + np.searchsorted(newlines, starts[:-1])

    def text(row: int) -> str:
        return _shown(block[starts[row] : starts[row + 1]].decode("utf-8"))

    bad = [BadRow(int(lines[row]), None, None, _arity(len(header), found), text(row)) for row, found in misfits]
    columns = {name: _one_chunk(table[name]) for name in table.column_names}
    return _Raw(columns, lines[positions], lambda row: text(int(positions[row])), bad)


def _arity(expected: int, found: int) -> str:
    return f"expected {expected} values, found {found}"


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks)
        if column.num_chunks
        else pa.array([], column.type)
    )


def _parse_lines(
    block: bytes, header: list[str], wanted: dict[str, Feature], delimiter: str, line: int, at_end: bool
) -> tuple[_Raw, int]:
    """The careful way. Returns the rows and how many bytes they took: the last row may go on in the next block.

    A quote that is never closed would swallow the rest of the file: the line it is in is bad, and reading
    resumes at the next one.
    """
    lines = [text + "\n" for text in block.decode("utf-8", "surrogateescape").split("\n")]
    lines[-1] = lines[-1].removesuffix("\n")  # The split's last piece had no line end.
    if not lines[-1]:
        lines.pop()
    rows: list[list[str]] = []
    spans: list[tuple[int, int]] = []
    bad: list[BadRow] = []
    position = 0
    while position < len(lines):
        start = position
        reader = csv.reader(map(lines.__getitem__, range(start, len(lines))), delimiter=delimiter, strict=True)
        try:
            for row in reader:
                begin, position = position, start + reader.line_num
                raw = "".join(lines[begin:position])
                if not row:
                    continue
                if len(row) != len(header):
                    bad.append(BadRow(line + begin, None, None, _arity(len(header), len(row)), _shown(raw)))
                elif not _is_utf8(raw):
                    bad.append(BadRow(line + begin, None, None, "not valid UTF-8", _shown(raw)))
                else:
                    rows.append(row)
                    spans.append((begin, position))
        except csv.Error as error:
            if not at_end and start + reader.line_num >= len(lines):
                break  # It may go on in the next block.
            bad.append(BadRow(line + position, None, None, f"not valid CSV: {error}", _shown(lines[position])))
            position += 1
    columns = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(header, ())
    used = sum(len(text.encode("utf-8", "surrogateescape")) for text in lines[:position])
    starts = np.array([begin for begin, _ in spans], np.int64)
    parsed = _Raw(
        {name: _strings(columns[name]) for name in header if name in wanted},
        starts + line,
        lambda row: _shown("".join(lines[slice(*spans[row])])),
        bad,
    )
    return parsed, used


def _is_utf8(text: str) -> bool:
    """Whether it has no surrogates, which stand for bytes that are not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _shown(text: str) -> str:
    """A row as people read it: bytes that are not UTF-8 appear as \\xNN."""
    return text.rstrip("\r\n").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _strings(column: Sequence[Any], is_list: bool = False) -> pa.Array:
    import pyarrow as pa

    return pa.array(column, pa.list_(pa.string()) if is_list else pa.string())


# --- JSON lines ---


def _json_object(line: str) -> dict[str, Any] | str:
    """The row, or why it is none."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return f"not valid JSON: {error.msg}"
    return row if isinstance(row, dict) else f"expected a JSON object, found {type(row).__name__}"


def _read_json_lines(stream: BinaryIO, file_format: str, wanted: dict[str, Feature]) -> Iterator[_Raw]:
    line = 1
    rest = stream.read(BLOCK_BYTES).removeprefix(b"\xef\xbb\xbf")
    while rest:
        block = stream.read(BLOCK_BYTES)
        cut = rest.rfind(b"\n") + 1 if block else len(rest)
        if cut:
            yield _parse_json_lines(rest[:cut], wanted, line)
            line += rest.count(b"\n", 0, cut)
        rest = rest[cut:] + block


def _parse_json_lines(block: bytes, wanted: dict[str, Feature], line: int) -> _Raw:
    texts = block.decode("utf-8", "surrogateescape").split("\n")
    rows: list[dict[str, Any]] = []
    positions: list[int] = []
    bad: list[BadRow] = []
    for position, text in enumerate(texts):
        if not text.strip():
            continue
        row = _json_object(text)
        if not isinstance(row, str):
            row = _json_texts(row, wanted)
        if isinstance(row, str):
            bad.append(BadRow(line + position, None, None, row, _shown(text)))
        else:
            rows.append(row)
            positions.append(position)
    columns = {
        name: _strings([row.get(name) for row in rows], is_list=feature.kind == "categories")
        for name, feature in wanted.items()
    }
    where = np.array(positions, np.int64)
    return _Raw(columns, where + line, lambda row: _shown(texts[positions[row]]), bad)


def _json_texts(row: dict[str, Any], wanted: dict[str, Feature]) -> dict[str, str | list[str]] | str:
    """The wanted values as they would be in CSV (categories as a list), or why that cannot be."""
    found: dict[str, str | list[str]] = {}
    for name, feature in wanted.items():
        value = row.get(name)
        if value is None:
            continue
        parts = [_json_text(part) for part in (value if isinstance(value, list) else [value])]
        texts = [part for part in parts if part is not None]
        if len(texts) < len(parts) or not all(map(_is_utf8, texts)):
            return f"{name} holds something else than valid text and numbers"
        if feature.kind == "categories":
            found[name] = texts if isinstance(value, list) else values.split(texts[0])
        elif feature.kind == "embedding":
            found[name] = " ".join(texts)
        elif isinstance(value, list):
            return f"{name} is a list, expected one value"
        else:
            found[name] = texts[0]
    return found


def _json_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else None


# --- Parquet ---


def _read_parquet(stream: BinaryIO, file_format: str, wanted: dict[str, Feature]) -> Iterator[_Raw]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(stream)
    present = [name for name in file.schema_arrow.names if name in wanted]
    line = 1
    for rows in file.iter_batches(batch_size=PARQUET_ROWS, columns=present):
        yield _parse_parquet(rows, line)
        line += rows.num_rows


def _parse_parquet(rows: pa.RecordBatch, line: int) -> _Raw:
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
    return _Raw(columns, kept + line, lambda row: raw(int(kept[row])), bad_rows)
