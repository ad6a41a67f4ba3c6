"""A team's files as they are: their columns, and what the beginnings of these hold."""

from __future__ import annotations

import collections
import csv
import dataclasses
import functools
import io
import json
import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from homefeed.schemas import times, values
from homefeed.schemas.columns import Feature, Kind
from homefeed.schemas.dataset import DatasetError, Table
from homefeed.schemas.tables import COMPRESSIONS, File, json_lines, open_file
from homefeed.schemas.tables.batches import read_raw
from homefeed.schemas.tables.delimited import MARK
from homefeed.schemas.tables.files import SUFFIXES, format_of
from homefeed.schemas.tables.source import require_different

HEAD_BYTES = 16 << 20  # Of a file of text that are looked at.
HEAD_ROWS = 100_000  # Of a Parquet file.
MAX_JUDGED = 10_000  # Values, from all over a column's beginning, by which is told what it holds.
DELIMITERS = ",\t;|"
MIN_PAIRED = 0.7  # Of the bytes of Chinese that are no ASCII, those beside another one; accents stand alone.
SHORTEST_DATE = 10_000_000  # Smaller numbers are years, ages and counts rather than times.
MIN_SHARE = 0.9  # Of the values of a column that must be what the column is said to hold.

Cell = str | list[str] | None


@dataclasses.dataclass(frozen=True)
class Column:
    """A column's beginning.

    Attributes:
        name: as the file has it.
        cells: [num_rows] text, a list where the file has lists, None where there is nothing.
    """

    name: str
    cells: Sequence[Cell]

    @functools.cached_property
    def texts(self) -> list[str]:
        """[num_filled] what there is, of a list its parts."""
        given = (cell for cell in self.cells if cell not in (None, "", []))
        found = (part for cell in given for part in (cell if isinstance(cell, list) else [cell]))
        return [text for text in found if text is not None and text.strip() not in values.MISSING_WORDS]

    @functools.cached_property
    def some(self) -> list[str]:
        """[at most MAX_JUDGED] of the texts, evenly spread: to understand a value takes longer than to read it."""
        return self.texts[:: max(1, math.ceil(len(self.texts) / MAX_JUDGED))]

    @functools.cached_property
    def counts(self) -> collections.Counter[str]:
        """Value → how often."""
        return collections.Counter(self.texts)

    @property
    def filled(self) -> float:
        """Share of the rows that hold something."""
        return sum(cell not in (None, "", []) for cell in self.cells) / max(len(self.cells), 1)

    @property
    def is_key(self) -> bool:
        """Whether every value is there once, but for a few."""
        return bool(self.texts) and self.filled > MIN_SHARE and len(self.counts) > 0.98 * len(self.texts)

    @functools.cached_property
    def is_list(self) -> bool:
        """Whether it holds several values a row: lists, or text that `|` parts."""
        if any(isinstance(cell, list) for cell in self.cells):
            return True
        parted = sum("|" in text or (text.startswith("[") and text.endswith("]")) for text in self.some)
        return parted > 0.1 * max(len(self.some), 1)

    @functools.cached_property
    def numbers(self) -> npt.NDArray[np.float32] | None:
        """[num_judged] numbers of those that it holds; None: it holds something else."""
        return None if self.is_list else self._understood("number")

    @functools.cached_property
    def seconds(self) -> npt.NDArray[np.int64] | None:
        """[num_judged] times of those that it holds, Unix seconds; None: it holds something else."""
        if self.is_list:
            return None
        if self.numbers is not None and self.numbers.max() < SHORTEST_DATE:
            return None
        found = self._understood("timestamp")
        is_time = found is not None and times.FIRST_LOG <= np.median(found) <= times.LAST
        return found if is_time else None

    def _understood(self, kind: Kind) -> npt.NDArray[Any] | None:
        if not self.some:
            return None
        text = pa.array(self.some, pa.string())
        unit = times.choose_unit(values.count_units(text)) if kind == "timestamp" else None
        column, wrong, _ = values.understand(text, Feature(kind=kind), unit)
        right = ~wrong & ~np.asarray(column.is_null().to_numpy(zero_copy_only=False))
        return None if right.mean() < MIN_SHARE else column.filter(pa.array(right)).to_numpy(zero_copy_only=False)


@dataclasses.dataclass(frozen=True)
class Looked:
    """A file, or several of one folder that are alike.

    Attributes:
        path: as `dataset.yaml` calls it.
        table: how it is read.
        columns: by their names in the file.
        num_rows: that were looked at.
    """

    path: str
    table: Table
    columns: dict[str, Column]
    num_rows: int


def find(given: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """The files of tables among what was given: files, and folders with those in them.

    Raises:
        DatasetError: something is not there, or there is no table.
    """
    found: list[pathlib.Path] = []
    for path in given:
        if not path.exists():
            raise DatasetError(f"{path} is not there; expected files or folders")
        if path.is_file():
            found.append(path)
            continue
        inside = sorted(one for one in path.rglob("*") if one.is_file() and not one.name.startswith((".", "_")))
        found += [one for one in inside if _suffix(one) in SUFFIXES] or inside
    if not found:
        raise DatasetError(f"there is no table; expected files that end in {', '.join(SUFFIXES)}")
    return list(dict.fromkeys(found))


def look(path: pathlib.Path, name: str) -> Looked:
    """Looks at the beginning of a file.

    Args:
        path: where it is.
        name: what `dataset.yaml` is to call it.

    Raises:
        DatasetError: it cannot be read as a table.
    """
    said = _format(path)
    format_ = format_of(str(path), Table(path=name, **said))
    file = File(str(path.absolute()), format_, path.stat().st_size)
    if format_ == "parquet":
        table, kinds = Table(path=name), _kinds_of_parquet(path)
        with open_file(file) as stream:
            return _looked(name, table, stream, file, kinds, HEAD_ROWS)
    encoding = _encoding(file)
    with open_file(file, encoding) as stream:
        head = stream.read(HEAD_BYTES).removeprefix(MARK)
    head = head if len(head) < HEAD_BYTES else head[: head.rfind(b"\n") + 1]
    said |= {} if encoding == "utf-8" else {"encoding": encoding}
    if format_ == "jsonl":
        json_lines.column_names(io.BytesIO(head), file, ())  # Raises where lines are no objects.
        table, kinds = Table(path=name, **said), _kinds_of_json(head)
    else:
        table, kinds = _dialect(Table(path=name, **said), file, head)
    return _looked(name, table, io.BytesIO(head), file, kinds, None)


def _format(path: pathlib.Path) -> dict[str, Any]:
    """What `dataset.yaml` must say of a file whose name does not tell its format."""
    if _suffix(path) in SUFFIXES:
        return {}
    with path.open("rb") as file:
        line = file.readline()
    return {"format": "tsv" if b"\t" in line else "csv"}


def _suffix(path: pathlib.Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in COMPRESSIONS]
    return suffixes[-1] if suffixes else ""


def _looked(
    name: str, table: Table, stream: BinaryIO, file: File, kinds: dict[str, Kind], most: int | None
) -> Looked:
    cells: dict[str, list[Cell]] = {column: [] for column in kinds}
    num_rows = 0
    for raw in read_raw(stream, file, table, {column: Feature(kind=kind) for column, kind in kinds.items()}):
        for column in kinds:
            found = raw.columns.get(column)
            cells[column] += [None] * len(raw.lines) if found is None else found.to_pylist()
        num_rows += len(raw.lines)
        if most is not None and num_rows >= most:
            break
    if not num_rows:
        raise DatasetError(f"{file.path} has no row below its header; expected a table")
    return Looked(name, table, {column: Column(column, given) for column, given in cells.items()}, num_rows)


def _encoding(file: File) -> str:
    """UTF-8 if its beginning is that; else Chinese, if bytes that are no ASCII come in pairs; else western."""
    with open_file(file, "latin-1") as stream:  # Each byte as a character of its own: what unpacked bytes are.
        head = stream.read(HEAD_BYTES).decode("utf-8").encode("latin-1", "replace")
    whole = head[: head.rfind(b"\n") + 1] or head
    try:
        whole.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        is_high = np.frombuffer(whole, np.uint8) > 127
        beside = np.roll(is_high, 1) | np.roll(is_high, -1)
        return "gb18030" if beside[is_high].mean() > MIN_PAIRED else "cp1252"


def _dialect(table: Table, file: File, head: bytes) -> tuple[Table, dict[str, Kind]]:
    """What parts the values of a file, and its columns.

    Raises:
        DatasetError: it is empty, or two columns have one name.
    """
    lines = [line for line in head[: 1 << 20].decode("utf-8", "replace").splitlines() if line.strip()][:50]
    if not lines:
        raise DatasetError(f"{file.path} is empty; expected a table")
    usual = "\t" if file.format == "tsv" else ","
    counts = {d: [len(_cells(line, d)) for line in lines] for d in (usual, *DELIMITERS)}
    # The one by which most lines have as many values as the first, and more than one.
    delimiter = max(counts, key=lambda d: (counts[d][0] > 1, sum(n == counts[d][0] for n in counts[d]), counts[d][0]))
    names = [name.strip() for name in _cells(lines[0], delimiter)]
    said = {} if delimiter == usual else {"delimiter": delimiter}
    if not _are_names(names):
        names = [f"column_{place}" for place in range(1, len(names) + 1)]
        said["header"] = names
    require_different(file, names)
    table = Table(**table.model_dump(exclude_unset=True), **said)
    return table, dict.fromkeys((name for name in names if name), "text")


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error:  # A value is longer than `csv` takes.
        return line.split(delimiter)


def _are_names(cells: Sequence[str]) -> bool:
    """Whether a first line is one of names: without numbers, times, addresses, or blanks between others.

    The first name is blank where pandas wrote its index, the last one where lines end in a delimiter.
    """
    given = [Column("", [cell]) for cell in cells if cell]
    is_data = any(one.numbers is not None or one.seconds is not None or "://" in one.texts[0] for one in given)
    return bool(given) and "" not in cells[1:-1] and not is_data


def _kinds_of_json(head: bytes) -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for line in head.split(b"\n")[:1000]:
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError:
            continue
        for name, cell in (row or {}).items() if isinstance(row, dict) else ():
            for path, kind in _fields(name, cell):
                found[path] = "categories" if kind == "categories" else found.get(path, kind)
    return found


def _fields(name: str, cell: object) -> list[tuple[str, Kind]]:
    """Of an object its fields, with dots; of a list, that it is one."""
    if isinstance(cell, dict):
        return [field for key, inner in cell.items() for field in _fields(f"{name}.{key}", inner)]
    if isinstance(cell, list):
        if cell and all(isinstance(part, dict) for part in cell):
            return [(f"{name}.{key}", "categories") for key, inner in cell[0].items() if isinstance(inner, str)]
        return [(name, "categories")]
    return [(name, "text")]


def _kinds_of_parquet(path: pathlib.Path) -> dict[str, Kind]:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path} is no Parquet that can be read: {error}") from error
    return {name: kind for field in schema for name, kind in _parts(field.name, field.type)}


def _parts(name: str, found: pa.DataType) -> list[tuple[str, Kind]]:
    if pa.types.is_struct(found):
        return [part for field in found for part in _parts(f"{name}.{field.name}", field.type)]
    if pa.types.is_list(found) or pa.types.is_large_list(found):
        inner = found.value_type
        if pa.types.is_struct(inner):
            return [(f"{name}.{field.name}", "categories") for field in inner if pa.types.is_string(field.type)]
        return [] if pa.types.is_nested(inner) else [(name, "categories")]
    return [] if pa.types.is_nested(found) or pa.types.is_time(found) else [(name, "text")]
