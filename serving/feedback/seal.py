"""Sealing: what came to the live store becomes the next span of the data, once, whatever happens meanwhile.

The plan of a span, which names its events and pages by number, is stored first. Then the files are written beside the
data, their digests recorded, and the files renamed into place, the interactions last: by them a span is known. Who
died anywhere in between is followed by one who carries out the same plan, and so writes the same bytes.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import fcntl
import hashlib
import itertools
import os
import pathlib
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
import pyarrow.parquet as pq

from homefeed.schemas.dataset import FILE_NAME as DATASET_FILE
from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.errors import HomefeedError
from homefeed.schemas.scratch import remove
from homefeed.serving.feedback.attribution import WINDOW_SECONDS, is_action_type
from homefeed.serving.feedback.layout import FEEDBACK, STAGING, Layout, read_layout
from homefeed.serving.feedback.rows import OfUser, rows_of, schemas, table_of
from homefeed.serving.log.copy import LOG_FILE_NAME, Copied, copy_log, make_log_tables
from homefeed.serving.log.copy import leave as leave_copy
from homefeed.serving.profiles import sealing
from homefeed.serving.profiles.leaving import last_to_leave, leave
from homefeed.serving.profiles.live import HIDING
from homefeed.serving.profiles.outbox_table import is_logged
from homefeed.serving.profiles.published import FILE_NAME, ProfileStore
from homefeed.serving.profiles.store import BUSY_SECONDS, LIVE_FILE_NAME
from homefeed.serving.profiles.transaction import make_tables, read_events

SETTLED_SECONDS = 1_800  # A page is sealed so long after it was served: by then it is known what was seen of it.
ROWS_A_GROUP = 50_000
FREE_PAGES = 1_000  # Given back to the disk in one step.


class SealError(HomefeedError, RuntimeError):
    """Nothing was sealed."""


@dataclasses.dataclass(frozen=True)
class Sealed:
    """What was done.

    Attributes:
        span: that was written; "": nothing new had come.
        rows: table → rows of the span.
        files: what was written, below the data folder.
        left: events that are no longer in the live store.
        unknown: type that `dataset.yaml` does not know → events, too few to stop for, which nobody learns from.
        left_out: column of interactions → values that `dataset.yaml` does not admit, and that the span lacks.
        log: what was read of the log; None: there is none, or a span was finished that was planned before.
    """

    span: str
    rows: dict[str, int]
    files: list[str]
    left: int
    unknown: dict[str, int]
    left_out: dict[str, int]
    log: Copied | None = None


def seal(
    serving_dir: pathlib.Path,
    data: pathlib.Path,
    at: float | None = None,
    min_events: int = 1,
    keep_seconds: float = WINDOW_SECONDS,
    log: str = "",
) -> Sealed:
    """Writes the next span, or the one that was begun, and lets old events leave the live store.

    With a log, the store is a copy of it, beside the live one: what came to all gateways.

    Args:
        serving_dir: where the live store is.
        data: folder of `dataset.yaml`.
        at: Unix seconds; what came later is for another span. None: now.
        min_events: that a span must have, not counting what was only seen.
        keep_seconds: how long an event stays in the live store after it came, and is known by its id if it comes
            again.
        log: URL of the log that gateways write; "": the live store has everything.

    Raises:
        DatasetError: `dataset.yaml` has no place for the span, or does not know the types of many events.
        SealError: there is no live store that can be read and written, its users have pseudonyms, or somebody else is
            sealing.
        LogError: the log is out of reach, or is another than the one before.
    """
    layout = read_layout(data)
    now = time.time() if at is None else at
    with _locked(serving_dir, data), _opened(serving_dir, bool(log)) as database:
        plan = _begun(database, layout, now)
        _require_source(serving_dir, database, log, plan)
        copied = copy_log(database, log) if log and not plan else None
        plan = plan or _new_plan(database, layout, now, min_events)
        left_out = collections.Counter[str]()
        files = _carry_out(database, plan, layout, left_out) if plan else {}
        unknown = sealing.types_of(database, plan) if plan else {}
        keep_from = int((now - keep_seconds) * 1000)
        left = _let_leave(database, keep_from, leave_copy if log else leave)
        if log:
            _let_live_leave(serving_dir / LIVE_FILE_NAME, min(keep_from, sealing.last_time(database)))
    rows = {file["table"]: file["rows"] for file in files.values()}
    counts = {kind: count for kind, (count, _) in _unknown(unknown, layout).items()}
    span = plan.span if plan else ""
    return Sealed(span, rows, sorted(files), left, counts, dict(sorted(left_out.items())), copied)


def _require_source(
    serving_dir: pathlib.Path, database: sqlite3.Connection, log: str, plan: sealing.Plan | None
) -> None:
    """Spans are of the log or of the store: of both, an event would come twice, and of the wrong one, not at all."""
    live = serving_dir / LIVE_FILE_NAME
    if not log and not plan and is_logged(database):
        raise SealError(f"what comes to {live} goes to a log, and spans are written from there: name it by --log")
    if log and live.is_file():
        with contextlib.closing(_open(live, is_copy=False)) as store:
            if begun := sealing.unfinished(store):
                raise SealError(
                    f"the span {begun.span} of {live} was begun before there was a log: finish it without --log, and "
                    "then seal again"
                )


def _begun(database: sqlite3.Connection, layout: Layout, now: float) -> sealing.Plan | None:
    """The span that was begun; it goes by the next name, where another store took its own one meanwhile."""
    plan = sealing.unfinished(database)
    if plan is None:
        return None
    own = sealing.files_of(database, plan.span)
    found = [_is_own(place, layout, own) for place in _places(layout, plan.span).values() if place.exists()]
    if not found or any(found):  # What has begun to move keeps its name.
        return plan
    with sealing.writing(database):
        return sealing.rename(database, plan, layout.next_span(now, sealing.names(database)))


def _places(layout: Layout, span: str) -> dict[str, pathlib.Path]:
    """Table → where it goes, in the order in which they are moved."""
    return {
        "exposures": layout.file("exposures", span),
        FEEDBACK: layout.feedback(span),
        "interactions": layout.file("interactions", span),
    }


def _is_own(place: pathlib.Path, layout: Layout, own: Mapping[str, Any]) -> bool:
    """Whether a file is what this store once wrote, by its digest: its name, another one may have taken."""
    said = own.get(os.path.relpath(place, layout.data))
    return said is not None and said["digest"] == _digest(place)


def _digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _new_plan(database: sqlite3.Connection, layout: Layout, now: float, min_events: int) -> sealing.Plan | None:
    milliseconds = int(now * 1000)
    with sealing.writing(database):
        name = layout.next_span(now, sealing.names(database))
        plan = sealing.next_plan(database, name, milliseconds, milliseconds - SETTLED_SECONDS * 1000)
        if sealing.count_events(database, plan) < min_events:
            return None
        _check_types(sealing.types_of(database, plan), sealing.count_users(database, plan), layout)
        sealing.keep_plan(database, plan)
    return plan


def _unknown(types: sealing.Types, layout: Layout) -> sealing.Types:
    """Of a span's actions those of types that the data do not know."""
    known = (*(layout.event_types or ()), *HIDING)
    return {
        kind: counts
        for kind, counts in types.items()
        if layout.event_types is not None and is_action_type(kind) and kind not in known
    }


def _check_types(types: sealing.Types, num_users: int, layout: Layout) -> None:
    """A type that many use is missing in the data; what a few make up stops nobody."""
    unknown = _unknown(types, layout)
    share = max((users for _, users in unknown.values()), default=0) / max(num_users, 1)
    if share > layout.dataset.max_bad_fraction:
        names, known = ", ".join(unknown), ", ".join(layout.event_types or ())
        raise DatasetError(
            f"{layout.data / DATASET_FILE}: {share:.0%} of the users sent events of type {names}, and "
            f"`interactions.features.event_type.domain` has {known} only; add them to it."
        )


def _carry_out(
    database: sqlite3.Connection, plan: sealing.Plan, layout: Layout, left_out: collections.Counter[str]
) -> dict[str, Any]:
    """Path below the data folder → table, digest and rows of what is in its place now."""
    for path in layout.data.glob(f"{STAGING}*"):
        remove(path)
    staging = layout.data / f"{STAGING}{plan.span}"
    staging.mkdir()
    counts = _write(database, plan, layout, staging, left_out)
    places = _places(layout, plan.span)
    written = {table: staging / f"{table}.parquet" for table in places if counts[table]}
    own = sealing.files_of(database, plan.span)
    for place in map(places.__getitem__, written):
        if place.exists() and not _is_own(place, layout, own):
            raise SealError(f"{place} is there, and is not of this live store: give it the name of another span")
    files = {
        os.path.relpath(places[table], layout.data): {
            "table": table,
            "rows": counts[table],
            "digest": _digest(path),
        }
        for table, path in written.items()
    }
    with sealing.writing(database):
        sealing.keep_files(database, plan.span, files)
    for table, path in written.items():
        _move(path, places[table])
    with sealing.writing(database):
        sealing.finish(database, plan.span)
    remove(staging)
    return files


def _move(path: pathlib.Path, place: pathlib.Path) -> None:
    """Renames a file into its place, which may be on another disk."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.stat().st_dev != place.parent.stat().st_dev:
        beside = place.parent / f"{STAGING}{place.name}"
        shutil.copyfile(path, beside)
        _sync(beside)
        path = beside
    os.replace(path, place)
    _sync(place.parent)


def _write(
    database: sqlite3.Connection,
    plan: sealing.Plan,
    layout: Layout,
    staging: pathlib.Path,
    left_out: collections.Counter[str],
) -> dict[str, int]:
    """Writes the tables of a span; gives their rows."""
    columns = schemas(layout)
    names = {table: layout.dataset.table(table).columns for table in ("exposures", "interactions")}
    waiting: dict[str, list[dict[str, Any]]] = {table: [] for table in columns}
    counts = dict.fromkeys(columns, 0)
    with contextlib.ExitStack() as stack:
        writers: dict[str, pq.ParquetWriter] = {}

        def flush(table: str, least: int) -> None:
            if len(waiting[table]) < least:
                return
            if table not in writers:
                writer = pq.ParquetWriter(staging / f"{table}.parquet", columns[table], compression="zstd")
                writers[table] = stack.enter_context(writer)
            writers[table].write_table(table_of(waiting[table], columns[table], names.get(table, {})))
            counts[table] += len(waiting[table])
            waiting[table].clear()

        for user in _users(database, plan):
            for table, rows in rows_of(user, layout, left_out).items():
                waiting[table] += rows
                flush(table, ROWS_A_GROUP)
        for table in columns:
            flush(table, 1)
    for path in (*staging.iterdir(), staging):
        _sync(path)
    return counts


def _users(database: sqlite3.Connection, plan: sealing.Plan) -> Iterator[OfUser]:
    """What each user has in a span, all as of one moment."""
    database.execute("BEGIN")
    try:
        for user in sealing.users_of(database, plan):
            pages = [(at, orjson.loads(page)) for _, at, page in sealing.pages_of(database, plan, user)]
            sealed = zip(read_events(database, user), sealing.spans_of(database, user), strict=True)
            known = [(event, span) for event, span in sealed if span]  # What came since the plan is for another span.
            ids = {event.event_id for event, span in known if span == plan.span}
            yield OfUser(user, [event for event, _ in known], ids, pages)
    finally:
        database.execute("COMMIT")


def _let_leave(
    database: sqlite3.Connection,
    received_before: int,
    leave: Callable[[sqlite3.Connection, int, int], int],
    is_logged: bool = False,
) -> int:
    """Lets events leave, some users' at a time; gives how many did."""

    def some() -> int:
        with sealing.writing(database):
            return leave(database, last, received_before)

    last = last_to_leave(database, received_before, is_logged)
    count = sum(itertools.takewhile(bool, iter(some, None)))
    (free,) = database.execute("PRAGMA freelist_count").fetchone()
    for _ in range(0, free if count else 0, FREE_PAGES):
        # `execute` would end at the first of its steps, each of which gives a row without columns.
        database.executescript(f"PRAGMA incremental_vacuum({FREE_PAGES})")
    return count


def _let_live_leave(path: pathlib.Path, received_before: int) -> None:
    """The gateway's own file has its events for the profiles alone, where spans are written from the log."""
    if path.is_file():
        with contextlib.closing(_open(path, is_copy=False)) as database:
            _let_leave(database, received_before, leave, is_logged=True)


@contextlib.contextmanager
def _opened(serving_dir: pathlib.Path, is_copy: bool) -> Iterator[sqlite3.Connection]:
    path = serving_dir / (LOG_FILE_NAME if is_copy else LIVE_FILE_NAME)
    try:
        with contextlib.closing(_open(path, is_copy)) as database:
            yield database
    except sqlite3.Error as error:
        raise SealError(f"{path}: {error}; mend the file or its disk and seal again: nothing is lost") from error


def _open(path: pathlib.Path, is_copy: bool) -> sqlite3.Connection:
    if not is_copy and not path.is_file():
        raise SealError(f"there is no {path}, so that nothing came yet: `homefeed gateway` makes it")
    published = path.parent / FILE_NAME
    if published.is_file() and ProfileStore(published).has_pseudonyms:
        raise SealError(
            f"users of {path} have pseudonyms, which data with the users' own ids cannot take; seal only what was "
            "pushed without example_gen.user_key"
        )
    database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    for pragma in ("auto_vacuum = INCREMENTAL", "synchronous = FULL", "secure_delete = ON"):
        database.execute(f"PRAGMA {pragma}")
    make_tables(database)
    if is_copy:
        make_log_tables(database)
    return database


@contextlib.contextmanager
def _locked(serving_dir: pathlib.Path, data: pathlib.Path) -> Iterator[None]:
    """One at a time, of a store and of a data folder, which stores may share: two would write to one place."""
    if not serving_dir.is_dir():
        raise SealError(f"there is no {serving_dir}: `homefeed run` pushes to it")
    with (serving_dir / ".seal.lock").open("w") as lock, contextlib.ExitStack() as stack:
        folder = os.open(data, os.O_RDONLY)
        stack.callback(os.close, folder)
        for path, handle in ((serving_dir, lock.fileno()), (data, folder)):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise SealError(f"somebody else is sealing {path}: wait until they have finished") from error
        yield


def _sync(path: pathlib.Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
