"""Rows of CSV and TSV: blocks that are well-formed are parsed at once, others row by row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from homefeed.schemas.columns import Feature, Kind
from homefeed.schemas.dataset import DatasetError, Table
from homefeed.schemas.tables import rows as _rows
from homefeed.schemas.tables.files import File
from homefeed.schemas.tables.quotes import STRONG, Dialect
from homefeed.schemas.tables.rows import BadRow, RawRows, as_texts, shown

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ROW_BYTES = 16 << 20  # Beyond it, a quote that is still open is taken for one that is never closed.
MARK = b"\xef\xbb\xbf"  # Of byte order.
UNCLEAR = "is in a quoted value of several lines that may be rows of their own"
TIME = re.compile(r"\s*[-+]?\d[-+/年月日\d\s:.TZ]*([\[ ][\w/+-]+\]?)?\s*")
NUMBER = re.compile(r"\s*[-+]?[\d.][-+\d.eE]*\s*")


def delimiter_of(file: File, table: Table) -> str:
    """The declared one, or that of the format."""
    return table.delimiter or ("\t" if file.format == "tsv" else ",")


def read(stream: BinaryIO, file: File, table: Table, wanted: Mapping[str, Feature]) -> Iterator[RawRows]:
    """Reads a file, block by block; empty lines are no rows."""
    header, quoted, buffer, line = read_header(stream, file, table)

    kinds = [wanted[name].kind if name in wanted else None for name in header]
    dialect = Dialect(delimiter_of(file, table), quoted, len(header), lambda values: _likeness(values, kinds))
    at_end = False
    while not at_end:
        block = stream.read(_rows.BLOCK_BYTES)
        at_end = not block
        buffer += block
        whole = len(buffer) if at_end else buffer.rfind(b"\n") + 1
        if not whole:
            continue
        starts = _find_rows(buffer[:whole], dialect, at_end)
        used = 0 if starts is None else int(starts[-1])
        raw = None if starts is None else _parse_rows(buffer[:used], starts, header, wanted, dialect, line)
        if raw is None:
            is_last = at_end or whole > MAX_ROW_BYTES
            raw, used = _parse_text(buffer[:whole], header, wanted, dialect, line, is_last)
        line += buffer.count(b"\n", 0, used)
        buffer = buffer[used:]
        yield raw


def read_header(stream: BinaryIO, file: File, table: Table) -> tuple[list[str], bool, bytes, int]:
    """Column names; whether values may stand in quotes; what was read beyond; and the line where that begins.

    TSV has no quotes, by habit, unless all the names in its header stand in quotes.

    Raises:
        DatasetError: the first line is no header.
    """
    buffer = stream.read(_rows.BLOCK_BYTES).removeprefix(MARK)
    if b"\r" in buffer and b"\n" not in buffer:
        raise DatasetError(
            f"{file.path}: lines end in carriage returns alone, expected line feeds; `tr '\\r' '\\n'` mends that."
        )
    if table.header is not None:
        return list(table.header), file.format == "csv", buffer, 1
    text = buffer.decode("utf-8", "surrogateescape")
    start = len(text) - len(text.lstrip("\r\n"))
    dialect = Dialect(delimiter_of(file, table), True, 0, len)
    names, end = dialect.names(text[start:])
    used, first = text[: start + end], text[start : start + end]
    try:
        size = len(used.encode())
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"{file.path}: the first line is not a header in UTF-8: {shown(first)[:80]}. If it is in another, "
            "say which in dataset.yaml, such as `encoding: cp1252`."
        ) from error
    quoted = file.format == "csv" or all(re.fullmatch(r'\s*".*"\s*', cell) for cell in dialect.cells(first))
    return [name.strip() for name in names if names != [""]], quoted, buffer[size:], used.count("\n") + 1


def _likeness(cells: Sequence[str], kinds: Sequence[Kind | None]) -> int:
    """How much values look like a row's: by a time above all; else by ids without blanks and by numbers."""
    found, is_text = 0, False
    for cell, kind in zip(cells, kinds, strict=True):
        if kind == "timestamp":
            found += STRONG if TIME.fullmatch(cell) else 0
        elif kind == "number" and cell.strip():
            found += NUMBER.fullmatch(cell) is not None
            is_text |= not NUMBER.fullmatch(cell)
        elif kind == "id":
            found += bool(cell) and not any(map(str.isspace, cell))
            is_text |= not cell
    return 0 if is_text and found < STRONG else found


# --- Many rows at once ---


def _find_rows(block: bytes, dialect: Dialect, at_end: bool) -> npt.NDArray[np.int64] | None:
    """[num_rows + 1] where rows begin and where the last whole one ends; None where Arrow cannot tell them.

    That is where something is not UTF-8, a line is empty, a quote stands elsewhere than around a value or doubled
    inside of one, or a value in quotes may hold rows.
    """
    if block.count(b"\r") != block.count(b"\r\n") or block.startswith(MARK):  # Which Arrow would take away.
        return None
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        return None
    text = np.frombuffer(block, np.uint8)
    line_ends = ends = np.flatnonzero(text == ord("\n")) + 1
    has_quotes = dialect.quoted and b'"' in block
    quotes = np.flatnonzero(text == ord('"')) if has_quotes else ends[:0]
    if len(quotes):
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]  # The others are inside a quoted value.
    starts = np.concatenate([[0], ends])
    if at_end and starts[-1] < len(block):
        if len(quotes) % 2:
            return None
        starts = np.append(starts, len(block))
    if len(starts) == 1 or not _are_well_placed(quotes[quotes < starts[-1]], block, dialect.delimiter):
        return None
    if len(ends) < len(line_ends) and _may_hold_rows(text, starts, line_ends, dialect):
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


def _may_hold_rows(
    text: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    line_ends: npt.NDArray[np.int64],
    dialect: Dialect,
) -> bool:
    """Whether, of a row of several lines, one after the first has as many values as a row."""
    bounds = np.unique(np.concatenate([[0], line_ends, starts[-1:]]))
    delimiters = np.flatnonzero(text == ord(dialect.delimiter))
    alone = np.diff(np.searchsorted(delimiters, bounds)) == dialect.num_columns - 1
    return bool(np.any(alone & ~np.isin(bounds[:-1], starts)))


def _parse_rows(
    block: bytes,
    starts: npt.NDArray[np.int64],
    header: Sequence[str],
    wanted: Mapping[str, Feature],
    dialect: Dialect,
    line: int,
) -> RawRows | None:
    """The quick way: 20 times as fast as `_parse_text`, with the same result. None where that must decide."""
    import pyarrow as pa
    import pyarrow.csv

    misfits: list[tuple[int, int]] = []

    def skip(row: Any) -> str:
        misfits.append((row.number - 1, row.actual_columns))
        return "skip"

    quoted = dialect.quoted and b'"' in block
    table = pyarrow.csv.read_csv(
        pa.BufferReader(block),
        pyarrow.csv.ReadOptions(use_threads=False, column_names=header, block_size=len(block) + 1),
        pyarrow.csv.ParseOptions(
            delimiter=dialect.delimiter,
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
    if quoted and misfits:
        return None  # Their quotes may be characters like any other.
    fits = np.ones(len(starts) - 1, bool)
    fits[[row for row, _ in misfits]] = False
    positions = np.flatnonzero(fits)
    newlines = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) if quoted else starts[1:] - 1
    lines = line + np.searchsorted(newlines, starts[:-1])

    def text(row: int) -> str:
        return shown(block[starts[row] : starts[row + 1]].decode("utf-8"))

    bad = [_misfit(int(lines[row]), len(header), found, text(row)) for row, found in misfits]
    columns = {name: _one_chunk(table[name]) for name in table.column_names}
    return RawRows(columns, lines[positions], lambda row: text(int(positions[row])), bad)


def _misfit(line: int, expected: int, found: int, text: str) -> BadRow:
    where = " around a carriage return" if "\r" in text else ""
    return BadRow(line, None, None, f"expected {expected} values, found {found}{where}", text)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks)
        if column.num_chunks
        else pa.array([], column.type)
    )


# --- Row by row ---


def _parse_text(
    block: bytes,
    header: Sequence[str],
    wanted: Mapping[str, Feature],
    dialect: Dialect,
    line: int,
    is_last: bool,
) -> tuple[RawRows, int]:
    """The careful way. Returns the rows and how many bytes they took: the last row may go on in the next block."""
    text = block.decode("utf-8", "surrogateescape")
    rows: list[list[str]] = []
    spans: list[tuple[int, int]] = []
    lines: list[int] = []
    bad: list[BadRow] = []
    start = 0
    while start < len(text):
        values, end = dialect.read(text, start, is_last)
        if end == start:
            break  # It may go on in the next block.
        if values is None:
            each = text[start:end].removesuffix("\n").split("\n")
            bad += [BadRow(line + n, None, None, UNCLEAR, shown(one)) for n, one in enumerate(each)]
        elif len(values) == len(header) and (len(values) > 1 or values[0]):
            rows.append(values)
            spans.append((start, end))
            lines.append(line)
        elif text[start:end].strip("\r\n"):
            bad.append(_misfit(line, len(header), len(values), shown(text[start:end])))
        line += text.count("\n", start, end)
        start = end
    columns = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(header, ())
    texts = {name: as_texts(columns[name]) for name in header if name in wanted}
    parsed = RawRows(
        {name: column for name, (column, _) in texts.items()},
        np.array(lines, np.int64),
        lambda row: shown(text[slice(*spans[row])]),
        bad,
        {name: faults for name, (_, faults) in texts.items() if faults},
    )
    return parsed, len(text[:start].encode("utf-8", "surrogateescape"))
