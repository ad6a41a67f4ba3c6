"""The store of live profiles: events, their dedupe keys and the profiles that they make, in one SQLite file.

One thread writes. It takes all jobs that wait and commits them together (`synchronous=FULL`, write-ahead log), so
that many callers share one wait for the disk. What a caller was answered is on disk, and the next reader sees it.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import pathlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.profiles.live import COMMANDS, HIDING, LiveEvent, LiveProfile, apply, fold

LIVE_FILE_NAME = "live.sqlite"
MAX_EVENTS_A_COMMIT = 2_000
MAX_WAITING = 20_000  # Jobs; beyond it a caller is told to come back.
BUSY_SECONDS = 30.0  # `homefeed forget` may hold the file for a while.

_TABLES = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL, type TEXT NOT NULL,
    at INTEGER NOT NULL, received_at INTEGER NOT NULL, item_id TEXT NOT NULL, value REAL, query TEXT NOT NULL,
    tag TEXT NOT NULL, impression_id TEXT NOT NULL, position INTEGER, tags TEXT NOT NULL, settings TEXT NOT NULL,
    features TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_of_users ON events (user_id);
CREATE TABLE IF NOT EXISTS profiles (user_id TEXT PRIMARY KEY, version INTEGER NOT NULL, state BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS exposures (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, impression_id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL,
    after TEXT NOT NULL, at INTEGER NOT NULL, page TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS exposures_of_users ON exposures (user_id);
"""
_JSON = ("tags", "settings", "features")
_COLUMNS = tuple(field.name for field in dataclasses.fields(LiveEvent))
_INSERT = (
    f"INSERT INTO events ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) ON CONFLICT DO NOTHING"
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM events WHERE user_id = ? ORDER BY seq"
_NOT_SEEN = (*COMMANDS, *HIDING, "search")  # Types of events after which an item may still come.


class StoreError(HomefeedError, RuntimeError):
    """Nothing of a job was stored: the disk is full or out of reach, or too many jobs wait."""


class Outcome(NamedTuple):
    """What became of an event."""

    accepted: bool  # False: an event of this id was there before.
    version: int  # Of the user's profile now.


class Exposure(NamedTuple):
    """A page that was served.

    Attributes:
        impression_id: of the page.
        user_id: who asked.
        after: the page before it, when somebody scrolls on; "": none.
        at: Unix milliseconds.
        page: rungs, versions, candidates and the items of the rows, as JSON.
    """

    impression_id: str
    user_id: str
    after: str
    at: int
    page: bytes


@dataclasses.dataclass(frozen=True)
class _Job:
    work: Callable[[Transaction], Any]
    size: int
    done: concurrent.futures.Future[Any]


class LiveStore:
    """Reads and writes live profiles.

    `append`, `merge`, `forget` and `record` give a future, which is done when the change is on disk, or fails with
    StoreError, and then nothing of it is. The readers may be called from any one thread.

    Args:
        path: of the file, made if missing.
        observe: is told of each commit: number of events and seconds. Called by the writing thread.
    """

    def __init__(self, path: pathlib.Path, observe: Callable[[int, float], None] = lambda events, seconds: None):
        self._path, self._observe = path, observe
        self._jobs: queue.Queue[_Job | None] = queue.Queue(MAX_WAITING)
        self._closing = False
        self._recording: dict[str, Exposure] = {}
        self._database = self._connect()
        self._database.executescript(_TABLES)
        self._reader = self._connect()
        self._reader.execute("PRAGMA query_only = ON")
        self._writer = threading.Thread(target=self._write, name="live-store", daemon=True)
        self._writer.start()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA secure_delete = ON")
        return database

    def append(self, events: Sequence[LiveEvent]) -> concurrent.futures.Future[list[Outcome]]:
        """Stores events in their order, each once, with the profiles that they make."""
        return self._ask(lambda transaction: [transaction.append(event) for event in events], len(events))

    def merge(self, guest: str, user_id: str) -> concurrent.futures.Future[int]:
        """Gives a user what a guest did, as if it arrived now; gives the number of events, 0 the second time."""
        return self._ask(lambda transaction: transaction.merge(guest, user_id))

    def forget(self, user_id: str) -> concurrent.futures.Future[int]:
        """Removes a user, also from the write-ahead log and from free pages; gives the number of events."""
        return self._ask(lambda transaction: transaction.forget(user_id))

    def record(self, exposure: Exposure) -> concurrent.futures.Future[None]:
        """Stores a page that was served; `scrolled` knows it at once."""
        self._recording[exposure.impression_id] = exposure
        done = self._ask(lambda transaction: transaction.record(exposure))
        done.add_done_callback(lambda _: self._recording.pop(exposure.impression_id, None))
        return done

    def profile(self, user_id: str) -> LiveProfile:
        """The user's live profile; of an unknown user, an empty one."""
        return _read_profile(self._reader, user_id)

    def rebuild(self, user_id: str) -> LiveProfile:
        """The profile made anew from the stored events; the same as `profile`, byte for byte."""
        return fold(self.events(user_id))

    def events(self, user_id: str) -> Iterator[LiveEvent]:
        """A user's events, in the order of arrival."""
        return map(_event, self._reader.execute(_SELECT, (user_id,)))

    def seen(self, user_id: str) -> set[str]:
        """Items that the user did something with, as long as the log is kept; what was hidden is in the profile."""
        places = ", ".join("?" * len(_NOT_SEEN))
        query = f"SELECT item_id FROM events WHERE user_id = ? AND type NOT IN ({places})"
        return {item_id for (item_id,) in self._reader.execute(query, (user_id, *_NOT_SEEN)) if item_id}

    def scrolled(self, impression_id: str, user_id: str) -> list[bytes]:
        """The pages that a user scrolled through up to this one, newest first; empty: they had no such page."""
        pages = []
        while impression_id and (found := self._exposure(impression_id)) and found[0] == user_id:
            pages.append(found[2])
            impression_id = found[1]
        return pages

    def _exposure(self, impression_id: str) -> tuple[str, str, bytes] | None:
        """User, page before and content; also of a page that is on its way to the disk."""
        if waiting := self._recording.get(impression_id):
            return waiting.user_id, waiting.after, waiting.page
        query = "SELECT user_id, after, page FROM exposures WHERE impression_id = ?"
        found: tuple[str, str, bytes] | None = self._reader.execute(query, (impression_id,)).fetchone()
        return found

    def close(self) -> None:
        """Writes what waits, and closes the file."""
        self._jobs.put(None)
        self._writer.join()
        self._reader.close()

    def _ask(self, work: Callable[[Transaction], Any], size: int = 1) -> concurrent.futures.Future[Any]:
        done: concurrent.futures.Future[Any] = concurrent.futures.Future()
        if self._closing:
            done.set_exception(StoreError(f"{self._path} is closed: nothing was stored"))
            return done
        try:
            self._jobs.put_nowait(_Job(work, size, done))
        except queue.Full:
            done.set_exception(StoreError(f"{MAX_WAITING} changes wait to be written to {self._path}: come back"))
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
            with Transaction(self._database) as transaction:
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


class Transaction:
    """Changes that are committed together; profiles are read and written once, however many events they get."""

    def __init__(self, database: sqlite3.Connection):
        self._database = database
        self._profiles: dict[str, LiveProfile] = {}
        self._erases = False

    def __enter__(self) -> Transaction:
        self._database.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                rows = [(user, profile.version, profile.encode()) for user, profile in self._profiles.items()]
                self._database.executemany("INSERT OR REPLACE INTO profiles VALUES (?, ?, ?)", rows)
                self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        if kind is None and self._erases:
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def append(self, event: LiveEvent) -> Outcome:
        """Stores an event, if there is none of its id."""
        accepted = self._database.execute(_INSERT, _row(event)).rowcount > 0
        if accepted:
            self._profiles[event.user_id] = apply(self._profile(event.user_id), event)
        return Outcome(accepted, self._profile(event.user_id).version)

    def merge(self, guest: str, user_id: str) -> int:
        """Moves a guest's events to a user, behind those that are there."""
        events = [dataclasses.replace(event, user_id=user_id) for event in self._events(guest)]
        self._database.execute("UPDATE exposures SET user_id = ? WHERE user_id = ?", (user_id, guest))
        self._remove(guest, ("events", "profiles"))
        return len([self.append(event) for event in events])

    def forget(self, user_id: str) -> int:
        """Removes all that is known of a user."""
        self._erases = True
        return self._remove(user_id, ("exposures", "profiles", "events"))

    def record(self, exposure: Exposure) -> None:
        """Stores a page that was served."""
        query = "INSERT INTO exposures (impression_id, user_id, after, at, page) VALUES (?, ?, ?, ?, ?)"
        self._database.execute(query, exposure)

    def _events(self, user_id: str) -> list[LiveEvent]:
        return list(map(_event, self._database.execute(_SELECT, (user_id,))))

    def _profile(self, user_id: str) -> LiveProfile:
        return self._profiles.get(user_id) or _read_profile(self._database, user_id)

    def _remove(self, user_id: str, tables: Sequence[str]) -> int:
        self._profiles.pop(user_id, None)
        counts = [
            self._database.execute(f"DELETE FROM {table} WHERE user_id = ?", (user_id,)).rowcount for table in tables
        ]
        return counts[-1]


def _read_profile(database: sqlite3.Connection, user_id: str) -> LiveProfile:
    row = database.execute("SELECT version, state FROM profiles WHERE user_id = ?", (user_id,)).fetchone()
    return LiveProfile.decode(*row) if row else LiveProfile()


def _row(event: LiveEvent) -> tuple[Any, ...]:
    values = ((name, getattr(event, name)) for name in _COLUMNS)
    return tuple(orjson.dumps(value).decode() if name in _JSON else value for name, value in values)


def _event(row: Sequence[Any]) -> LiveEvent:
    values = dict(zip(_COLUMNS, row, strict=True))
    tags, settings, features = (orjson.loads(values.pop(name)) for name in _JSON)
    return LiveEvent(**values, tags=tuple(tags), settings=settings, features=features)
