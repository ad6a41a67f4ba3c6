# mypy: disable-error-code="no-untyped-call"
"""Where a table is read from: its files, at any place that Beam opens, its spans and its columns."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator

from apache_beam.io.filesystems import FileSystems

from homefeed.schemas import spans, tables
from homefeed.schemas.dataset import Dataset, DatasetError, Feature, Table, TableName

COMPRESSION_RATIO = 4  # Of text, for guessing how much a compressed file holds.


@dataclasses.dataclass(frozen=True)
class Source:
    """A table whose files were found and whose columns were checked."""

    name: TableName
    table: Table
    features: dict[str, Feature]  # Of the columns that exist.
    files: tuple[tuple[str, tables.Format], ...]
    num_bytes: int
    spans: tuple[str, ...] = ()  # Earlier ones first; none without `{SPAN}` in the table's path.

    def read_file(self, index: int) -> Iterator[tables.Batch]:
        """The rows of one of the files, batch by batch, bad ones apart."""
        path, file_format = self.files[index]
        with FileSystems.open(path) as stream:
            yield from tables.read_batches(stream, file_format, self.table, self.features)

    def read(self) -> Iterator[tables.Batch]:
        """The rows of all files."""
        for index in range(len(self.files)):
            yield from self.read_file(index)


def find_files(data_dir: pathlib.Path, table: Table, name: TableName, wanted: str = "") -> dict[str, int]:
    """The files of a table, in order, with their sizes in bytes.

    Raises:
        DatasetError: there is no file, or not the wanted span.
    """
    pattern = tables.table_pattern(data_dir, table)
    sizes = {file.path: file.size_in_bytes for file in FileSystems.match([spans.as_glob(pattern)])[0].metadata_list}
    if not sizes:
        raise tables.missing_table(name, pattern)
    return {path: sizes[path] for path in spans.select(sizes, pattern, wanted)}


def list_spans(data_dir: pathlib.Path, dataset: Dataset, name: TableName) -> list[str]:
    """All spans of a table, earlier ones first; none without `{SPAN}` in its path."""
    table = dataset.table(name)
    return spans.names(find_files(data_dir, table, name), tables.table_pattern(data_dir, table))


def find_table(data_dir: pathlib.Path, dataset: Dataset, name: TableName, wanted_spans: str = "") -> Source:
    """Finds a table's files and the columns in them.

    Raises:
        DatasetError: there is no file, or a column that is required or declared is in none of them.
    """
    table = dataset.table(name)
    files, present, num_bytes = [], set(), 0
    for path, size in find_files(data_dir, table, name, wanted_spans).items():
        file_format = tables.format_of(path, table)
        with FileSystems.open(path) as stream:
            columns = tables.column_names(stream, file_format)
        present.update(columns)
        files.append((path, file_format))
        packed = file_format == "parquet" or path.endswith(tables.COMPRESSIONS)
        num_bytes += size * (COMPRESSION_RATIO if packed else 1)
        if file_format != "jsonl":
            _check_columns(name, dataset, set(columns), path, only_required=True)
    _check_columns(name, dataset, present, table.path, only_required=False)
    features = {
        column: feature
        for column, feature in dataset.features(name).items()
        if table.columns.get(column, column) in present
    }
    read_spans = spans.names((path for path, _ in files), tables.table_pattern(data_dir, table))
    return Source(name, table, features, tuple(files), num_bytes, tuple(read_spans))


def _check_columns(name: TableName, dataset: Dataset, present: set[str], where: str, only_required: bool) -> None:
    table = dataset.table(name)
    features = dataset.features(name)
    wanted = {column for column, feature in features.items() if feature.required}
    if not only_required:
        wanted |= set(table.features) | set(table.columns)
    missing = sorted(table.columns.get(column, column) for column in wanted)
    missing = [column for column in missing if column not in present]
    if missing and (present or not only_required):
        raise DatasetError(
            f"Table {name!r}: {where} has no column {', '.join(missing)}. "
            f"Columns there: {', '.join(sorted(present)) or 'none, it is empty'}. "
            f"Where a column has another name, say so in dataset.yaml: `{name}.columns: {{{missing[0]}: name}}`."
        )
