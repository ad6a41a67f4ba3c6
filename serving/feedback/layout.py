"""Where spans of feedback go: what `dataset.yaml` must say for it, and the files that a span becomes."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Collection, Iterable

from homefeed.schemas import spans
from homefeed.schemas.columns import TableName
from homefeed.schemas.dataset import FILE_NAME, Dataset, DatasetError, Table, UnreachableError, load_dataset
from homefeed.schemas.tables import find_files, find_table, is_uri
from homefeed.schemas.tables.files import format_of

FEEDBACK = "feedback"
"""Folder of what is neither an interaction nor an exposure: searches, settings, what was seen, what was undone."""
STAGING = ".sealing-"
"""Folders of spans that are being written begin so; no table reads what begins with a dot."""
SEALED: tuple[TableName, ...] = ("exposures", "interactions")
LIVE = "live.parquet"
_WILD = (("**/", ""), ("*.parquet", LIVE), ("*.pq", "live.pq"), (".*", ".parquet"), ("*", LIVE))


@dataclasses.dataclass(frozen=True)
class Layout:
    """A data folder that takes spans of feedback.

    Attributes:
        data: the folder.
        dataset: its declaration.
        spans: of the interactions, exposures and feedback that are there; no two get the same name.
        columns: of these interactions, by our names; None: there are none yet, and any will do.
    """

    data: pathlib.Path
    dataset: Dataset
    spans: tuple[str, ...]
    columns: frozenset[str] | None

    @property
    def event_types(self) -> tuple[str, ...] | None:
        """The only types that interactions may have; None: any."""
        return self.dataset.event_features["event_type"].domain

    def next_span(self, at: float, sealed: Iterable[str] = ()) -> str:
        """The name of a new span: the next number or, where spans are called otherwise, the time.

        Args:
            at: Unix seconds.
            sealed: names that were given before, to spans that may be gone.

        Raises:
            DatasetError: there is a span whose name comes after it.
        """
        taken = {*self.spans, *sealed}
        if all(name.isdecimal() for name in taken):
            return str(max(map(int, taken), default=0) + 1)
        name = f"{datetime.datetime.fromtimestamp(at, datetime.UTC):%Y-%m-%dT%H%M%S}"
        if (last := max(name for name in taken if not name.isdecimal())) >= name:
            raise DatasetError(
                f"interactions: the newest span is {last!r}, which comes after {name}: the new span would be read as "
                "an older one; name spans by numbers, or by times that have passed."
            )
        return name

    def file(self, table: TableName, span: str) -> pathlib.Path:
        """What a span of a table is written to."""
        return self.data / _target(self.dataset.table(table).path, span)

    def feedback(self, span: str) -> pathlib.Path:
        """What the rest of a span is written to."""
        return self.data / FEEDBACK / f"{span}.parquet"


def read_layout(data: pathlib.Path) -> Layout:
    """Looks at a data folder.

    Raises:
        DatasetError: its `dataset.yaml` does not say where spans of interactions and exposures go, and how to say it.
    """
    dataset = load_dataset(data)
    faults = [fault for table in SEALED for fault in _faults(dataset, table)]
    faults += [
        f"`{name}.path` has a {{SPAN}}, and sealing delivers no {name}: give all of them in one file, or in a folder"
        for name in ("items", "users")
        if (table := getattr(dataset, name)) and spans.SPAN in table.path
    ]
    if not faults:
        written = [data / FEEDBACK / "7.parquet", *(data / _target(dataset.table(name).path, "7") for name in SEALED)]
        if len({*map(pathlib.Path.resolve, written)}) < len(written):
            faults.append(f"interactions, exposures and {FEEDBACK}/ would be the same files; give each a folder")
    if not faults and "clicked" in _columns(data, dataset):
        faults.append(
            "exposures have a column `clicked`, and spans of feedback say it by `impression_id`; leave it out"
        )
    if faults:
        raise DatasetError(f"{data / FILE_NAME} takes no spans of feedback: {'; '.join(faults)}.")
    taken = {path.stem for path in (data / FEEDBACK).glob("*.parquet")}
    taken |= {*find_files(data, dataset.table("exposures"), "exposures").spans}
    try:
        there = find_files(data, dataset.interactions, "interactions").spans
    except UnreachableError:
        raise
    except DatasetError:
        return Layout(data, dataset, tuple(taken), None)
    columns = frozenset(find_table(data, dataset, "interactions").features)
    return Layout(data, dataset, tuple(taken.union(there)), columns)


def _columns(data: pathlib.Path, dataset: Dataset) -> Collection[str]:
    """Of the exposures that are there."""
    if not find_files(data, dataset.table("exposures"), "exposures").files:
        return ()
    return find_table(data, dataset, "exposures").features.keys()


def _faults(dataset: Dataset, name: TableName) -> list[str]:
    if dataset.is_derived(name):
        return [f"`{name}` is not declared; write `{name}: {{path: '{name}/{spans.SPAN}.parquet'}}`"]
    table = dataset.table(name)
    if is_uri(table.path):
        return [f"`{name}.path` is {table.path}; expected a place on this machine"]
    if spans.SPAN not in table.path:
        stem, suffix = pathlib.PurePath(table.path).stem, pathlib.PurePath(table.path).suffix
        move = f"move the file to {stem}/1{suffix} and write" if name == "interactions" else "write"
        return [f"`{name}.path` is {table.path}, without {spans.SPAN}; {move} `path: {stem}/{spans.SPAN}.*`"]
    target = _target(table.path, "7")
    if _format(target, table) != "parquet" or spans.names([target], table.path) != ["7"]:
        wider = f"{table.path.rpartition(spans.SPAN)[0]}{spans.SPAN}.*"
        return [f"`{name}.path` is {table.path}, which takes no Parquet; write `path: {wider}` and no `format`"]
    if table.delimiter is not None or table.header is not None:
        return [f"`{name}` has a `delimiter` or `header`, which Parquet has not; write the old spans without"]
    return []


def _format(path: str, table: Table) -> str:
    try:
        return format_of(path, table)
    except DatasetError:
        return ""


def _target(pattern: str, span: str) -> str:
    """The file of a span that a path stands for.

    >>> [_target(path, "7") for path in ("log/{SPAN}.*", "log/{SPAN}/v{VERSION}/*.parquet", "log/{SPAN}")]
    ['log/7.parquet', 'log/7/v1/live.parquet', 'log/7/live.parquet']
    """
    path = pattern.replace(spans.SPAN, span).replace(spans.VERSION, "1").rstrip("/")
    is_folder = pattern.rstrip("/").endswith((spans.SPAN, spans.VERSION))
    for wild, plain in _WILD:
        path = path.replace(wild, plain)
    return f"{path}/{LIVE}" if is_folder else path
