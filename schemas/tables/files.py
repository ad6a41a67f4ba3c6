"""Which files hold a table, and in which format."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import glob
import os
import pathlib
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import Literal

from homefeed.schemas import spans
from homefeed.schemas.columns import OPTIONAL, TableName
from homefeed.schemas.dataset import DatasetError, Table, UnreachableError, load_dataset

Format = Literal["csv", "tsv", "jsonl", "parquet"]

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst", ".zstd")
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
HIDDEN = ("_", ".")  # What Hadoop, Spark and Hive write beside the data begins so: `_SUCCESS`, `.part-0.crc`.
LOGS_OF_TABLES = {"_delta_log": "Delta Lake", ".hoodie": "Hudi"}
MAX_LISTED = 20  # Names of files in a message.
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclasses.dataclass(frozen=True)
class File:
    """A file of a table."""

    path: str  # Absolute or a URI.
    format: Format
    num_bytes: int = 0  # As stored.
    partitions: tuple[tuple[str, str | None], ...] = ()  # Columns that folders `name=value` give to all of its rows.


@dataclasses.dataclass(frozen=True)
class Found:
    """The files of a table, earlier spans first, then by path."""

    files: tuple[File, ...]
    skipped: tuple[str, ...] = ()  # Hidden files below a folder or glob, which hold no rows.
    spans: tuple[str, ...] = ()  # Earlier ones first; none without `{SPAN}` in the table's path.


def find_files(data_dir: pathlib.Path, table: Table, name: TableName, wanted: str = "") -> Found:
    """The files that a table's `path` means: a file, a folder with all that is below it, or a glob (with `**` too).

    Args:
        data_dir: what the path is relative to.
        table: its description.
        name: of the table, for messages.
        wanted: spans, as in `spans.select`.

    Of an optional table by span there may be none: what was shown is not known of every span.

    Raises:
        DatasetError: there is no file, or not the wanted span, or the format of one cannot be told.
    """
    pattern = table.path if is_uri(table.path) else pathlib.PurePath(table.path).as_posix()
    sizes = _match(data_dir, pattern)
    skipped = tuple(path for path in sizes if _is_hidden(path, pattern))
    for path in skipped:
        for part, product in LOGS_OF_TABLES.items():
            if part in pathlib.PurePath(path).parts:
                raise DatasetError(
                    f"Table {name!r}: {table.path} is a {product} table, whose folder also holds rows that were "
                    "deleted. Export it as plain Parquet."
                )
    paths = sizes.keys() - set(skipped)
    for path in sorted(paths):
        if sizes[path] is None:
            place = _place(data_dir, path)
            raise DatasetError(f"Table {name!r}: {place} is a link to {os.readlink(place)}, which leads to no file.")
    if name in OPTIONAL and spans.SPAN in pattern and not _has_span(paths, pattern, wanted):
        return Found((), tuple(sorted(skipped)))
    if not paths:
        raise missing_table(name, data_dir, pattern, skipped)
    chosen = spans.select(paths, pattern, wanted)
    files = (File(_place(data_dir, p), format_of(p, table), sizes[p] or 0, partitions(p)) for p in chosen)
    return Found(tuple(files), tuple(sorted(skipped)), tuple(spans.names(chosen, pattern)))


def _has_span(paths: Iterable[str], pattern: str, wanted: str) -> bool:
    try:
        return bool(spans.select(paths, pattern, wanted))
    except DatasetError:
        return False


def local_files(data_dir: pathlib.Path) -> list[pathlib.Path]:
    """The local files that `dataset.yaml` names, sorted within each table; tables behind a URI have none.

    Raises:
        DatasetError: a table's path matches no file.
    """
    dataset = load_dataset(data_dir)
    found: dict[pathlib.Path, None] = {}
    for name in dataset.tables:
        table = dataset.table(name)
        if not is_uri(table.path):
            found |= dict.fromkeys(sorted(pathlib.Path(f.path) for f in find_files(data_dir, table, name).files))
    return list(found)


def is_uri(pattern: str) -> bool:
    """Whether Beam opens it rather than the operating system."""
    return "://" in pattern


def missing_table(name: str, data_dir: pathlib.Path, pattern: str, skipped: Iterable[str] = ()) -> DatasetError:
    """The error that there is no such table, with what there is instead."""
    where = _place(data_dir, pattern)
    if is_uri(where):
        return DatasetError(f"Table {name!r}: no file at {where}. Mend `{name}.path` in dataset.yaml.")
    folder = pathlib.Path(where)
    is_there = os.path.lexists(folder)
    while not is_there and (
        folder == pathlib.Path(where) or glob.has_magic(str(folder)) or spans.SPAN in str(folder)
    ):
        folder = folder.parent
    if folder.is_dir():
        there = f"{folder} holds {_listed(folder)}"
    else:
        there = "it is neither a file nor a folder" if is_there else f"there is no {folder}"
    hidden = "".join(f"; {path} is skipped, as all whose name begins with _ or ." for path in list(skipped)[:1])
    return DatasetError(f"Table {name!r}: no file at {where}; {there}{hidden}. Mend `{name}.path` in dataset.yaml.")


def _listed(folder: pathlib.Path) -> str:
    """What a folder holds, or the first of it."""
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join([*names[:MAX_LISTED], *["…"] * (len(names) > MAX_LISTED)]) or "nothing"


def format_of(path: str, table: Table) -> Format:
    """The declared format, or the one that the file's name tells."""
    if table.format is not None:
        return table.format
    suffixes = [s for s in pathlib.PurePath(path).suffixes if s.lower() not in COMPRESSIONS]
    if not suffixes or suffixes[-1].lower() not in SUFFIXES:
        raise DatasetError(
            f"The format of {path} cannot be told from its name. Name it with one of {', '.join(SUFFIXES)}, "
            "or say `format: csv` (tsv, jsonl, parquet) in dataset.yaml."
        )
    return SUFFIXES[suffixes[-1].lower()]


def partitions(path: str) -> tuple[tuple[str, str | None], ...]:
    """The columns that the names of folders give, as Hive and Spark write them.

    >>> partitions("log/day=2024-01-31/event_type=add%20to%20cart/part-0.parquet")
    (('day', '2024-01-31'), ('event_type', 'add to cart'))
    """
    folders = (part.partition("=") for part in path.split("/")[:-1])
    found = {name: urllib.parse.unquote(value) for name, equals, value in folders if name and equals}
    return tuple((name, None if value == NULL_PARTITION else value) for name, value in found.items())


def _place(data_dir: pathlib.Path, path: str) -> str:
    return path if is_uri(path) else str(data_dir.absolute() / path)


def _match(data_dir: pathlib.Path, pattern: str) -> dict[str, int | None]:
    """Path, relative to the data folder or a URI → size in bytes, of all files that the pattern means.

    Linked folders are followed. A file that is reached in several ways is there once, and the size of a link that
    leads to nothing is None.
    """
    if is_uri(pattern):
        return {**_match_uri(spans.as_glob(pattern))}
    if (data_dir / pattern).is_file():  # Even if it has brackets in its name.
        return {pattern: (data_dir / pattern).stat().st_size}
    wanted = pathlib.PurePath(spans.as_glob(pattern))
    for folder in wanted.parents:
        if glob.has_magic(str(wanted.relative_to(folder)).partition("/")[0]):
            _check_listed(data_dir, _glob(data_dir, str(folder)))
    matches = [pathlib.Path(match) for match in _glob(data_dir, str(wanted))]
    found = {(m / f.relative_to(data_dir / m)).as_posix(): f for m in matches for f in _files_below(data_dir / m)}
    places = {path: os.path.join(os.path.realpath(file.parent), file.name) for path, file in found.items()}
    own = os.path.realpath(data_dir)
    # Of several ways to a file the last one counts: its own place rather than a linked folder, and a short way.
    ways = sorted(found, key=lambda path: (places[path] == os.path.join(own, path), -len(path), path))
    kept = {places[path]: path for path in ways}.values()
    return {path: found[path].stat().st_size if found[path].is_file() else None for path in kept}


def _files_below(path: pathlib.Path, above: frozenset[str] = frozenset()) -> Iterator[pathlib.Path]:
    """A file or link to nothing, or those below a folder; not by a link that leads back to where it is."""
    if path.is_file() or (path.is_symlink() and not path.exists()):
        yield path
    elif path.is_dir() and (real := os.path.realpath(path)) not in above:
        _check_listed(path, ["."])
        for inner in path.iterdir():
            yield from _files_below(inner, above | {real})


def _glob(data_dir: pathlib.Path, pattern: str) -> list[str]:
    return glob.glob(pattern, root_dir=data_dir, recursive=True, include_hidden=True)


def _check_listed(data_dir: pathlib.Path, paths: Iterable[str]) -> None:
    """What Python cannot list it passes over, and a span or a part of one would be missing without a word."""
    for folder in (data_dir / path for path in paths):
        if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK, effective_ids=True):
            raise UnreachableError(f"{folder} cannot be listed: {os.strerror(errno.EACCES)}.")


@contextlib.contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Says of all that the library of an object store raises, of whatever kind, that the store was not reached."""
    try:
        yield
    except Exception as error:
        raise UnreachableError(f"{uri} cannot be reached: {' '.join(str(_innermost(error)).split())}") from error


def _innermost(error: Exception) -> Exception:
    """Beam's own errors list what they are about, one in another."""
    details = getattr(error, "exception_details", None)
    return _innermost(next(iter(details.values()))) if details else error


def _match_uri(pattern: str) -> dict[str, int]:
    from apache_beam.io.filesystems import FileSystems

    # To Beam `**` is one folder or more; to everybody else none will do, too.
    patterns = [pattern, pattern.replace("/**/", "/"), f"{pattern.rstrip('/')}/**"]
    with reaching(pattern):
        found = FileSystems.match(patterns)  # type: ignore[no-untyped-call]
    return {file.path: file.size_in_bytes for result in found for file in result.metadata_list}


def _is_hidden(path: str, pattern: str) -> bool:
    """Whether a file below a folder or glob begins with `_` or `.`, or is in a folder that does."""
    fixed = []
    for part in pattern.split("/"):
        if glob.has_magic(part) or spans.SPAN in part or spans.VERSION in part:
            break
        fixed.append(part)
    asked = any(part.startswith(HIDDEN) for part in pattern.split("/")[len(fixed) :])
    return not asked and any(part.startswith(HIDDEN) for part in path.split("/")[len(fixed) :])
