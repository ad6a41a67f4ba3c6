"""Rows of CSV and TSV: blocks that are well-formed are parsed at once, others line by line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from homefeed.schemas.dataset import DatasetError, Feature
from homefeed.schemas.tables import rows as _rows
from homefeed.schemas.tables.rows import BadRow, RawRows, is_utf8, shown, strings

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ROW_BYTES = 16 << 20  # Beyond it, a quote that is still open is taken for one that is never closed.


def _delimiter(file_format: str) -> str:
    return "\t" if file_format == "tsv" else ","


def read_header(stream: BinaryIO, file_format: str) -> tuple[list[str], bytes, int]:
    """Column names, what was read beyond them, and the number of the line where that begins."""
    buffer = stream.read(_rows.BLOCK_BYTES).removeprefix(b"\xef\xbb\xbf")
    try:
        reader = csv.reader(io.StringIO(buffer.decode("utf-8", "surrogateescape")), delimiter=_delimiter(file_format))
        names = [name.strip() for name in next(reader, [])]
        "".join(names).encode()
    except (csv.Error, UnicodeEncodeError) as error:
        raise DatasetError(f"The first line is not a header in UTF-8: {error}.") from error
    rest = buffer.split(b"\n", reader.line_num)
    return names, rest[-1] if len(rest) > reader.line_num else b"", reader.line_num + 1


def read(stream: BinaryIO, file_format: str, wanted: dict[str, Feature]) -> Iterator[RawRows]:
    """CSV (RFC 4180) or TSV with the same quoting: blocks that are well-formed at once, others line by line."""
    delimiter = _delimiter(file_format)
    header, buffer, line = read_header(stream, file_format)
    at_end = False
    while not at_end:
        block = stream.read(_rows.BLOCK_BYTES)
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
) -> RawRows:
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
        return shown(block[starts[row] : starts[row + 1]].decode("utf-8"))

    bad = [BadRow(int(lines[row]), None, None, _arity(len(header), found), text(row)) for row, found in misfits]
    columns = {name: _one_chunk(table[name]) for name in table.column_names}
    return RawRows(columns, lines[positions], lambda row: text(int(positions[row])), bad)


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
) -> tuple[RawRows, int]:
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
                    bad.append(BadRow(line + begin, None, None, _arity(len(header), len(row)), shown(raw)))
                elif not is_utf8(raw):
                    bad.append(BadRow(line + begin, None, None, "not valid UTF-8", shown(raw)))
                else:
                    rows.append(row)
                    spans.append((begin, position))
        except csv.Error as error:
            if not at_end and start + reader.line_num >= len(lines):
                break  # It may go on in the next block.
            bad.append(BadRow(line + position, None, None, f"not valid CSV: {error}", shown(lines[position])))
            position += 1
    columns = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(header, ())
    used = sum(len(text.encode("utf-8", "surrogateescape")) for text in lines[:position])
    starts = np.array([begin for begin, _ in spans], np.int64)
    parsed = RawRows(
        {name: strings(columns[name]) for name in header if name in wanted},
        starts + line,
        lambda row: shown("".join(lines[slice(*spans[row])])),
        bad,
    )
    return parsed, used
