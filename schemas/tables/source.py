"""A table before it is read: its files, the columns that they have, and the units of its times."""

from __future__ import annotations

import dataclasses
import io
import json
import pathlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from homefeed.schemas import times
from homefeed.schemas.columns import OPTIONAL, Feature, TableName, Unit
from homefeed.schemas.dataset import Dataset, DatasetError, Table
from homefeed.schemas.tables import delimited, json_lines, parquet
from homefeed.schemas.tables.batches import count_units, read_file, read_raw
from homefeed.schemas.tables.files import COMPRESSIONS, File, Found, find_files
from homefeed.schemas.tables.rows import Batch
from homefeed.schemas.tables.streams import open_file

HEAD_BYTES = 1 << 20  # Of a table, that tell the units of its times; the rest is held to them.
MIN_HEAD_BYTES = 1 << 16  # Of each of its files.
MAX_SHOWN = 500  # Letters of the names of columns in a message.
COMPRESSION_RATIO = 4  # Of text, for guessing how much a compressed file holds.


@dataclasses.dataclass(frozen=True)
class Source:
    """A table whose files were found and whose columns were checked."""

    name: TableName
    table: Table
    features: dict[str, Feature]  # Of the columns that exist.
    found: Found
    units: dict[str, Unit]  # Of the columns of times that are numbers and have no declared one.
    unread: tuple[str, ...] = ()  # Columns that nothing reads.
    is_derived: bool = False  # There is no such table: its ids are those of the interactions.

    @property
    def files(self) -> tuple[File, ...]:
        """Earlier spans first."""
        return self.found.files

    @property
    def spans(self) -> tuple[str, ...]:
        """Earlier ones first; none without `{SPAN}` in the table's path."""
        return self.found.spans

    def read_file(self, index: int) -> Iterator[Batch]:
        """The rows of one of the files, batch by batch, bad ones apart.

        Raises:
            DatasetError: the file cannot be read, or not to its end.
        """
        return read_file(self.files[index], self.table, self.features, self.units)

    def read(self) -> Iterator[Batch]:
        """The rows of all files."""
        for index in range(len(self.files)):
            yield from self.read_file(index)

    @property
    def num_bytes(self) -> int:
        """About how much text there is."""
        packed = [f.format == "parquet" or f.path.lower().endswith(COMPRESSIONS) for f in self.files]
        return sum(f.num_bytes * (COMPRESSION_RATIO if p else 1) for f, p in zip(self.files, packed, strict=True))


def is_there(data_dir: pathlib.Path, dataset: Dataset, name: TableName, wanted_spans: str = "") -> bool:
    """Whether a table that the dataset describes has files: an optional one may have none in these spans.

    Raises:
        DatasetError: there is no file of a table that is not by span, or that every dataset has.
    """
    return name not in OPTIONAL or bool(find_files(data_dir, dataset.table(name), name, wanted_spans).files)


def find_table(data_dir: pathlib.Path, dataset: Dataset, name: TableName, wanted_spans: str = "") -> Source:
    """Finds a table's files and the columns in them.

    Raises:
        DatasetError: there is no file, or a column that is required or declared is in none of them.
    """
    table, features = dataset.table(name), dataset.columns(name)
    found = find_files(data_dir, table, name, wanted_spans)
    where: TableName = "interactions" if dataset.is_derived(name) else name
    required = _required(table, features)
    num_bytes = max(HEAD_BYTES // len(found.files), MIN_HEAD_BYTES)
    present: set[str] = set()
    counts: defaultdict[str, Counter[Unit]] = defaultdict(Counter)
    for file in found.files:
        columns = _columns(file, table, features)
        if file.format != "jsonl":  # Where each row has its own columns.
            _check_columns(where, table, required, columns, file)
        present |= columns
        for column, counted in _count_units(file, table, features, num_bytes).items():
            counts[column] += counted
    declared = {table.columns.get(column, column) for column in {*table.features, *table.columns} & features.keys()}
    _check_columns(where, table, required | declared, present, found.files[0])
    there = {column: feature for column, feature in features.items() if table.columns.get(column, column) in present}
    units = {column: times.choose_unit(counted) for column, counted in counts.items()}
    read = {table.columns.get(column, column) for column in features}
    of_others = {column.partition(".")[0] for column in read} | {*features}
    unread = () if dataset.is_derived(name) else tuple(sorted(present - read - of_others))
    return Source(name, table, there, found, units, unread, dataset.is_derived(name))


def _required(table: Table, features: Mapping[str, Feature]) -> set[str]:
    return {table.columns.get(column, column) for column, feature in features.items() if feature.required}


def _columns(file: File, table: Table, features: Mapping[str, Feature]) -> set[str]:
    """By the file's own names, and those that its folders give.

    Raises:
        DatasetError: a column is there twice, or they cannot be told.
    """
    wanted = {table.columns.get(name, name): feature for name, feature in features.items()}
    is_delimited = file.format in ("csv", "tsv")
    if not is_delimited and (table.delimiter is not None or table.header is not None):
        raise DatasetError(f"{file.path} is {file.format}: `delimiter` and `header` are of CSV and TSV alone.")
    with open_file(file, table.encoding) as stream:
        if file.format == "parquet":
            names = parquet.column_names(stream, file, wanted)
        elif file.format == "jsonl":
            names = json_lines.column_names(stream, file, wanted)
        else:
            names = delimited.read_header(stream, file, table)[0]
    say = (
        "; where this is no line of names, give them: `header: […]`" if is_delimited and table.header is None else ""
    )
    require_different(file, names, say)
    return {*filter(None, names), *(name for name, _ in file.partitions)}


def require_different(file: File, names: Sequence[str], say: str = "") -> None:
    """Checks that no two columns of a file have one name; those without a name may be several.

    Args:
        file: for the message.
        names: [num_columns]
        say: the end of the message.

    Raises:
        DatasetError: two have.
    """
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise DatasetError(
            f"{file.path}: the columns {_shown(twice)} are there more than once in {_shown(names)}{say}."
        )


def _count_units(
    file: File, table: Table, features: Mapping[str, Feature], num_bytes: int
) -> dict[str, Counter[Unit]]:
    """As `count_units`, of the beginning of a file."""
    undeclared = {n: f for n, f in features.items() if f.kind == "timestamp" and f.unit is None}
    if not undeclared:
        return {}
    with open_file(file, table.encoding) as stream:
        if file.format != "parquet":
            head = stream.read(num_bytes)
            stream = io.BytesIO(head if len(head) < num_bytes else head[: head.rfind(b"\n") + 1])
        first = next(read_raw(stream, file, table, undeclared), None)
        return {} if first is None else count_units(first, table, undeclared)


def _check_columns(name: TableName, table: Table, wanted: set[str], present: set[str], file: File) -> None:
    missing = sorted(wanted - present)
    if missing and not present:
        raise DatasetError(f"Table {name!r}: {file.path} has no columns, it is empty; expected {_shown(missing)}.")
    if missing:
        raise DatasetError(
            f"Table {name!r}: {file.path} has no column {_shown(missing)}. Columns there: {_shown(sorted(present))}. "
            + _remedy(name, table, missing, present, file)
        )


def _remedy(name: TableName, table: Table, missing: list[str], present: set[str], file: File) -> str:
    if file.format in ("csv", "tsv") and len(present) == 1:
        delimiter, (line,) = delimited.delimiter_of(file, table), present
        other = next((d for d in ",;\t|" if d != delimiter and d in line), None)
        if other is not None:
            say = f"`{name}.delimiter: {json.dumps(other)}`"
            return f"Its delimiter seems to be {other!r}; if so, say {say} in dataset.yaml."
    alike = {_skeleton(column): column for column in sorted(present)}
    like = alike.get(_skeleton(missing[0]), "name")
    as_yaml = like if re.fullmatch(r"[\w.-]+", like) else json.dumps(like)
    said = f"Where a column has another name, say so in dataset.yaml: `{name}.columns: {{{missing[0]}: {as_yaml}}}`"
    if file.format in ("csv", "tsv") and table.header is None:
        said += f"; where there is no line of names, give them: `{name}.header: [{missing[0]}, …]`"
    return f"{said}."


def _skeleton(column: str) -> str:
    """What is alike in `user_id`, `userId`, `"User ID"` and one with characters that nobody sees."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", column).casefold()))


def _shown(columns: Sequence[str]) -> str:
    """The first names, and of what nobody sees its code."""
    names = ", ".join(column if column.isprintable() else json.dumps(column) for column in columns)
    return names if len(names) <= MAX_SHOWN else f"{names[:MAX_SHOWN]}…"
