"""Files of public datasets that users have on disk, and the tables that are made of them."""

from __future__ import annotations

import csv
import gzip
import io
import pathlib
from collections.abc import Iterable, Iterator, Mapping

from homefeed.schemas.dataset import FILE_NAME, DatasetError


def find(source: pathlib.Path | str, *patterns: str) -> list[pathlib.Path]:
    """The files below a folder that one of the patterns names, in order.

    Raises:
        DatasetError: there is no such folder, or no such file in it.
    """
    folder = pathlib.Path(source).expanduser()
    if folder.is_file():
        raise DatasetError(f"{folder} is a file: unpack it, and name the folder with --from.")
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not there: name the folder of the unpacked files with --from.")
    found = sorted({path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()})
    if not found:
        there = ", ".join(sorted(path.name for path in folder.rglob("*") if path.is_file())[:10]) or "nothing"
        raise DatasetError(f"{folder} holds no {' or '.join(patterns)}; it holds {there}.")
    return found


def read_text(path: pathlib.Path, encoding: str = "utf-8") -> io.TextIOBase:
    """Opens a text file, packed with gzip or not; line ends stay."""
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding=encoding, newline="")
    return path.open(encoding=encoding, newline="")


def fields(path: pathlib.Path, separator: str, encoding: str = "utf-8") -> Iterator[list[str]]:
    """The fields of each line, where nothing is quoted."""
    with read_text(path, encoding) as file:
        for line in file:
            if line.strip():
                yield line.rstrip("\r\n").split(separator)


def write_dataset(
    out_dir: pathlib.Path | str,
    description: str,
    tables: Mapping[str, tuple[Iterable[str], Iterable[Iterable[object]]]],
) -> dict[str, int]:
    """Writes `<table>.csv` and `dataset.yaml` into a folder, which is made where it is not there.

    Args:
        out_dir: the folder.
        description: of `dataset.yaml`.
        tables: table → names of its columns, and its rows, which are read once.

    Returns:
        Table → how many rows it has.
    """
    out = pathlib.Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    counts = {name: write_csv(out / f"{name}.csv", columns, rows) for name, (columns, rows) in tables.items()}
    (out / FILE_NAME).write_text(description, encoding="utf-8")
    return counts


def write_csv(path: pathlib.Path, names: Iterable[str], rows: Iterable[Iterable[object]]) -> int:
    """Writes a table as CSV in UTF-8; returns how many rows it has."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            writer.writerow(row)
            count += 1
    return count
