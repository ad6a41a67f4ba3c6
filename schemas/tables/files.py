"""Which files hold a table, and in which format."""

from __future__ import annotations

import glob
import pathlib
from typing import Literal

from homefeed.schemas import spans
from homefeed.schemas.dataset import TABLES, DatasetError, Table, load_dataset

Format = Literal["csv", "tsv", "jsonl", "parquet"]

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
