"""The store of live profiles: events, their dedupe keys and the profiles that they make, in one SQLite file.

One thread writes. It takes all jobs that wait and commits them together (`synchronous=FULL`, write-ahead log), so
that many callers share one wait for the disk. What a caller was answered is on disk, and the next reader sees it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.profiles.exposure import Exposure
from homefeed.serving.profiles.live import (
    NEWEST_EVENTS,
    Happened,
    LiveEvent,
    LiveProfile,
    counts,
    excluded,
    only_seen,
)
from homefeed.serving.profiles.outbox import Mark
from homefeed.serving.profiles.sealing import Base, read_base, read_ruled_out
from homefeed.serving.profiles.switching import switch
from homefeed.serving.profiles.transaction import (
    Outcome,
    Stop,
    Transaction,
    make_tables,
    read_assigned,
    read_events,
    read_happened,
    read_profile,
    read_stops,
)

LIVE_FILE_NAME = "live.sqlite"
MAX_EVENTS_A_COMMIT = 2_000
HAPPENED_BATCH = 10_000  # Events that are read at once.
CHECKPOINT_PAGES = 4_000  # Of the log, 16 MB: fewer commits wait for its events to be moved into the tables.
MAX_WAITING = 4_000  # Jobs; beyond it a caller is told to come back.
MAX_EXPOSURES = 1_000_000  # Pages that are kept, at about 1.5 kB each.
_T = TypeVar("_T")
BUSY_SECONDS = 30.0  # `homefeed forget` may hold the file for a while.


class StoreError(HomefeedError, RuntimeError):
    """Nothing of a job was stored: the disk is full or out of reach, or the file is none of a store."""


class StoreBusy(StoreError):  # noqa: N818  No fault: it passes.
    """Too many jobs wait."""


@contextlib.contextmanager
def _named(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}; `homefeed doctor --root ROOT` looks at the stores of a root") from error


def open_to_read(path: pathlib.Path) -> sqlite3.Connection:
    """The file of a live store, beside the gateways that write it.

    Raises:
        StoreError: it is none, or cannot be read.
    """
    with _named(path):
        # Not mode=ro: what a writer who was killed has left half-way is undone by the next who reads.
        database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)
        database.execute("PRAGMA query_only = ON")
        database.execute("PRAGMA schema_version")  # The first look at what is in it.
    return database


@dataclasses.dataclass(frozen=True)
class _Job:
    work: Callable[[Transaction], Any]
    size: int
    done: Future[Any]


class LiveStore:
    """Reads and writes live profiles.

    `append`, `merge`, `forget`, `record` and `stop` give a future, which is done when the change is on disk, or fails
    with StoreError, and then nothing of it is. The readers may be called from any one thread.

    Args:
        path: of the file, made if missing.
        observe: is told of each commit: number of events and seconds. Called by the writing thread.
        max_exposures: pages that are kept.
        logs: whether what is stored waits in an outbox for the log of all gateways.

    Attributes:
        secret: the same for all who open this store, and of this store alone.
    """

    def __init__(
        self,
        path: pathlib.Path,
        observe: Callable[[int, float], None] = lambda events, seconds: None,
        max_exposures: int = MAX_EXPOSURES,
        logs: bool = False,
    ):
        self._path, self._observe, self._max_exposures, self._logs = path, observe, max_exposures, logs
        self._jobs: queue.Queue[_Job | None] = queue.Queue(MAX_WAITING)
        self._closing = False
        self._recording: dict[str, Exposure] = {}
        with _named(path):
            self._database = self._connect()
            make_tables(self._database)
        made = secrets.token_bytes(32)
        self._database.execute("INSERT OR IGNORE INTO secrets VALUES ('impressions', ?)", (made,))
        (self.secret,) = self._database.execute("SELECT value FROM secrets").fetchone()
        self._reader = self._connect()
        self._reader.execute("PRAGMA query_only = ON")
        self._writer = threading.Thread(target=self._write, name="live-store", daemon=True)
        self._writer.start()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")  # Of a new file: events leave, and so do their pages.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA secure_delete = ON")
        database.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        return database

    def begin(self) -> Future[None]:
        """A gateway starts on it: from now on a log is told everything, or none is."""
        return self._ask(lambda transaction: transaction.change(lambda database: switch(database, self._logs)))

    def append(self, events: Sequence[LiveEvent]) -> Future[list[Outcome]]:
        """Stores events in their order, each once, with the profiles that they make."""
        return self._ask(lambda transaction: [transaction.append(event) for event in events], len(events))

    def merge(self, guest: str, user_id: str) -> Future[int]:
        """Gives a user what a guest did, as if it arrived now; gives the number of events, 0 the second time."""
        return self._ask(lambda transaction: transaction.merge(guest, user_id))

    def forget(self, user_id: str) -> Future[int]:
        """Removes a user, also from the write-ahead log and from free pages; gives the number of events."""
        return self._ask(lambda transaction: transaction.forget(user_id))

    def record(self, exposure: Exposure) -> Future[bool]:
        """Stores a page that was served; `scrolled` knows it at once. False: the log is not told of it."""
        self._recording[exposure.impression_id] = exposure
        done = self._ask(lambda transaction: transaction.record(exposure))
        done.add_done_callback(lambda _: self._recording.pop(exposure.impression_id, None))
        return done

    def stop(self, stop: Stop) -> Future[None]:
        """Records that an experiment was stopped."""
        return self._ask(lambda transaction: transaction.stop(stop))

    def stops(self) -> list[Stop]:
        """The experiments that were stopped."""
        with self._reading():
            return read_stops(self._reader)

    def assigned(self, user_id: str) -> dict[str, str]:
        """Experiment → arm that a user keeps."""
        return read_assigned(self._reader, user_id)

    def profile(self, user_id: str) -> LiveProfile:
        """The user's live profile; of an unknown user, an empty one."""
        return read_profile(self._reader, user_id)

    def events(self, user_id: str) -> Iterator[LiveEvent]:
        """A user's events, in the order of arrival; those that were sealed long ago have left."""
        return read_events(self._reader, user_id)

    def base(self, user_id: str) -> Base:
        """What the user's events that have left had made: the profile is this one, changed by `events`."""
        return read_base(self._reader, user_id)

    def log(self) -> Iterator[tuple[int, list[Happened]]]:
        """All that was done with items, as the log stands in one moment, with the number of the last event read.

        It has a connection of its own and may be read in another thread.
        """
        mark = 0
        with self._reading(), contextlib.closing(self._connect()) as database:
            rows = read_happened(database)
            while batch := list(itertools.islice(rows, HAPPENED_BATCH)):
                mark = batch[-1][0]
                yield mark, _taken(batch)
        yield mark, []

    def happened(self, mark: int) -> tuple[int, list[Happened]]:
        """What was done with items since an event of this number, by anybody, and the number of the last event read.

        Events that only moved from a guest to a user are left out; of many, the first are given.
        """
        with self._reading():
            batch = list(read_happened(self._reader, mark, HAPPENED_BATCH))
        return (batch[-1][0], _taken(batch)) if batch else (mark, [])

    def look(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        """What somebody reads of the file."""
        with self._reading():
            return read(self._reader)

    def sent(self, mark: Mark) -> Future[None]:
        """The log has what waited in the outbox, up to a mark."""
        return self._ask(lambda transaction: transaction.sent(mark))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be read: {error}; make the file readable") from error

    def excluded(self, user_id: str) -> set[str]:
        """Items that must not be shown to the user again."""
        query = "SELECT item_id, type FROM events WHERE user_id = ? ORDER BY seq"
        log = self._reader.execute(query, (user_id,))
        return excluded(log, *read_ruled_out(self._reader, user_id))

    def only_seen(self, user_id: str) -> list[tuple[str, float]]:
        """See `live.only_seen`."""
        query = "SELECT item_id, type, at FROM events WHERE user_id = ? ORDER BY seq DESC LIMIT ?"
        return only_seen(self._reader.execute(query, (user_id, NEWEST_EVENTS)).fetchall()[::-1])

    def scrolled(self, impression_id: str, user_id: str) -> list[bytes]:
        """The pages that a user scrolled through up to this one, newest first; empty: they had no such page."""
        pages = []
        while impression_id and (found := self.exposure(impression_id)) and found.user_id == user_id:
            pages.append(found.page)
            impression_id = found.after
        return pages

    def exposure(self, impression_id: str) -> Exposure | None:
        """A page that was served, also one that is on its way to the disk; None: there is none, or no longer."""
        if waiting := self._recording.get(impression_id):
            return waiting
        query = "SELECT impression_id, user_id, after, at, page FROM exposures WHERE impression_id = ?"
        found = self._reader.execute(query, (impression_id,)).fetchone()
        return Exposure(*found) if found else None

    def pages(self, user_id: str, limit: int, before: int | None = None) -> list[Exposure]:
        """The pages that a user was served last, or last before a time, newest first; without those on their way.

        Args:
            user_id: the user.
            limit: how many at most.
            before: Unix milliseconds; None: until now.
        """
        columns, end = ", ".join(Exposure._fields[:5]), 2**62 if before is None else before
        query = f"SELECT {columns} FROM exposures WHERE user_id = ? AND at < ? ORDER BY at DESC, seq DESC LIMIT ?"
        return [Exposure(*row) for row in self._reader.execute(query, (user_id, end, limit))]

    def close(self) -> None:
        """Writes what waits, and closes the file."""
        self._jobs.put(None)
        self._writer.join()
        self._reader.close()

    def _ask(self, work: Callable[[Transaction], Any], size: int = 1) -> Future[Any]:
        done: Future[Any] = Future()
        if self._closing:
            done.set_exception(StoreError(f"{self._path} is closed: nothing was stored"))
            return done
        try:
            self._jobs.put_nowait(_Job(work, size, done))
        except queue.Full:
            done.set_exception(StoreBusy(f"{MAX_WAITING} changes wait to be written: come back in a second"))
        return done

    def _write(self) -> None:
        while not self._closing:
            if jobs := self._waiting():
                self._commit(jobs)
        self._database.close()

    def _waiting(self) -> list[_Job]:
        """All jobs that wait, up to a limit; waits for the first. None among them is the end."""
        jobs, size = list[_Job](), 0
        job = self._jobs.get()
        while job is not None and size < MAX_EVENTS_A_COMMIT:
            jobs.append(job)
            size += job.size
            if self._jobs.empty():
                return jobs
            job = self._jobs.get()
        self._closing = job is None
        return jobs if job is None else [*jobs, job]

    def _commit(self, jobs: Sequence[_Job]) -> None:
        started = time.perf_counter()
        try:
            with Transaction(self._database, self._max_exposures, self._logs) as transaction:
                results = [job.work(transaction) for job in jobs]
        except Exception as error:
            self._try_one_by_one(jobs, error)
            return
        self._observe(sum(job.size for job in jobs), time.perf_counter() - started)
        for job, result in zip(jobs, results, strict=True):
            job.done.set_result(result)

    def _try_one_by_one(self, jobs: Sequence[_Job], error: Exception) -> None:
        """One that cannot be stored must not take others with it."""
        if len(jobs) > 1:
            for job in jobs:
                self._commit([job])
            return
        reason = f"nothing was stored in {self._path}: {error}; free the disk, or make the file writable"
        jobs[0].done.set_exception(StoreError(reason) if isinstance(error, sqlite3.Error) else error)


def _taken(rows: Sequence[tuple[int, str, str, int, int, str]]) -> list[Happened]:
    return [
        Happened(item_id, at, user_id)
        for _, item_id, kind, at, received_at, user_id in rows
        if counts(kind, item_id, at, received_at)
    ]
