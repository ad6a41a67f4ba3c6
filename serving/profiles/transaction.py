"""What one commit holds: the tables of the live store, and the changes that are made to them together."""

from __future__ import annotations

import dataclasses
import operator
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from homefeed.serving.profiles import guests, outbox_table, sealing
from homefeed.serving.profiles.exposure import Exposure
from homefeed.serving.profiles.live import LiveEvent, LiveProfile, apply
from homefeed.serving.profiles.outbox import Mark, event_record, forget_record, page_record

TABLES = f"""{sealing.TABLES}{outbox_table.TABLE}{guests.TABLE}CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL, type TEXT NOT NULL,
    at INTEGER NOT NULL, received_at INTEGER NOT NULL, item_id TEXT NOT NULL, value REAL, query TEXT NOT NULL,
    tag TEXT NOT NULL, impression_id TEXT NOT NULL, position INTEGER, tags TEXT NOT NULL, settings TEXT NOT NULL,
    features TEXT NOT NULL, attributed INTEGER NOT NULL DEFAULT 0, moved INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS events_of_users ON events (user_id);
CREATE TABLE IF NOT EXISTS profiles (user_id TEXT PRIMARY KEY, version INTEGER NOT NULL, state BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS exposures (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, impression_id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL,
    after TEXT NOT NULL, at INTEGER NOT NULL, page TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS exposures_of_users ON exposures (user_id);
CREATE TABLE IF NOT EXISTS assignments (
    user_id TEXT NOT NULL, experiment TEXT NOT NULL, arm TEXT NOT NULL, PRIMARY KEY (user_id, experiment)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stops (
    experiment TEXT PRIMARY KEY, arm TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""
_LATER = ("attributed", "moved")  # Columns of events that older files lack.
KEPT_SECONDS = 30 * 86_400  # Pages that were served; then they are deleted.
_JSON = ("tags", "settings", "features")
_COLUMNS = tuple(field.name for field in dataclasses.fields(LiveEvent))
_values = operator.attrgetter(*_COLUMNS)
_INSERT = (
    f"INSERT INTO events ({', '.join(_COLUMNS)}, moved) VALUES ({', '.join('?' * len(_COLUMNS))}, ?) "
    "ON CONFLICT DO NOTHING"
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM events WHERE user_id = ? AND seq <= ? ORDER BY seq"
_ALL = 2**63 - 1
_OF_PAGES = "impression_id, user_id, after, at, page"


def make_tables(database: sqlite3.Connection) -> None:
    """Makes the tables and columns that a live store has and this one lacks."""
    database.executescript(TABLES)
    known = {row[1] for row in database.execute("PRAGMA table_info(events)")}
    for name in _LATER:
        if name not in known:
            database.execute(f"ALTER TABLE events ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0")


class Outcome(NamedTuple):
    """What became of an event."""

    accepted: bool  # False: an event of this id was there before.
    version: int  # Of the user's profile now.


class Stop(NamedTuple):
    """An experiment that was stopped.

    Attributes:
        experiment: its name, and the version of its buckets.
        arm: that everybody gets.
        reason: why.
        at: Unix seconds.
    """

    experiment: str
    arm: str
    reason: str
    at: int


class Transaction:
    """Changes that are committed together; profiles are read and written once, however many events they get.

    Args:
        database: of the live store.
        max_exposures: pages that are kept; the oldest go first.
        logs: whether what is stored goes into the outbox as well.
    """

    def __init__(self, database: sqlite3.Connection, max_exposures: int, logs: bool = False):
        self._database, self._max_exposures, self._logs = database, max_exposures, logs
        self._profiles: dict[str, LiveProfile] = {}
        self._erases = False

    def __enter__(self) -> Transaction:
        self._database.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                sealing.keep_states(self._database, self._profiles)
                rows = [(user, profile.version, profile.encode()) for user, profile in self._profiles.items()]
                self._database.executemany("INSERT OR REPLACE INTO profiles VALUES (?, ?, ?)", rows)
                self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        if kind is None and self._erases:
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def append(self, event: LiveEvent, moved: int = 0, guest: str = "", tells: bool | None = None) -> Outcome:
        """Stores an event, if there is none of its id; one that moved was a guest's, under this number.

        Args:
            event: what was done.
            moved, guest: of one that moved.
            tells: whether a log is told; None: if there is one.
        """
        accepted = insert_event(self._database, event, moved)
        if accepted:
            if self._logs if tells is None else tells:
                outbox_table.put(self._database, event.user_id, event_record(event, guest))
            self._profiles[event.user_id] = apply(self._profile(event.user_id), event)
        return Outcome(accepted, self._profile(event.user_id).version)

    def merge(self, guest: str, user_id: str) -> int:
        """Moves a guest's events to a user, behind those that are there."""
        database = self._database
        events = [dataclasses.replace(event, user_id=user_id) for event in read_events(database, guest)]
        numbers = "SELECT iif(moved, moved, seq) FROM events WHERE user_id = ? ORDER BY seq"
        first = [number for (number,) in database.execute(numbers, (guest,)).fetchall()]
        spans, left = sealing.spans_of(database, guest), sealing.read_ruled_out(database, guest)
        sealed = outbox_table.read_sealed_before(database) or (0, 0)  # Spans have it, and the log has never had it.
        # Where the log was turned off, the word goes beside what waits of the guest, to be found by it.
        tells = self._logs or outbox_table.has(database, guest)
        for exposure in read_exposures_after(database, sealed[1], guest) if tells else ():
            outbox_table.put(database, user_id, page_record(exposure._replace(user_id=user_id), guest))
        database.execute("UPDATE exposures SET user_id = ? WHERE user_id = ?", (user_id, guest))
        given = "INSERT OR IGNORE INTO assignments SELECT ?, experiment, arm FROM assignments WHERE user_id = ?"
        database.execute(given, (user_id, guest))
        guests.keep_guest(database, guest, user_id)
        self._remove(guest, ("assignments", "bases", "profiles", "events"))
        for event, number in zip(events, first, strict=True):
            self.append(event, number, guest, tells=tells and number > sealed[0])
        sealing.move(database, events, spans)
        sealing.rule_out(database, user_id, *left)
        return len(events)

    def forget(self, user_id: str) -> int:
        """Removes all that is known of a user, but who they were as a guest: spans may have rows of that."""
        self._erases = True
        if self._logs:
            outbox_table.put(self._database, user_id, forget_record(user_id))
        else:  # Nobody sends what waits there.
            outbox_table.delete_of(self._database, user_id)
        return self._remove(user_id, ("exposures", "assignments", "bases", "profiles", "events"))

    def record(self, exposure: Exposure) -> bool:
        """Stores a page that was served; of those that are too old or too many, two go for each that comes.

        Returns:
            False: there is a log, and so much waits for it that it is not told of the page.
        """
        newest = insert_exposure(self._database, exposure)
        is_told = not self._logs or outbox_table.has_room(self._database)
        if self._logs and is_told:
            outbox_table.put(self._database, exposure.user_id, page_record(exposure))
        given = [(exposure.user_id, *one) for one in exposure.assigned.items()]
        self._database.executemany("INSERT OR REPLACE INTO assignments VALUES (?, ?, ?)", given)
        # Only the two oldest are looked at: a commit never waits for a great deletion.
        query = (
            "DELETE FROM exposures WHERE seq IN (SELECT seq FROM exposures ORDER BY seq LIMIT 2)"
            " AND (seq <= ? OR at < ?)"
        )
        self._database.execute(query, (newest - self._max_exposures, exposure.at - KEPT_SECONDS * 1000))
        return is_told

    def sent(self, mark: Mark) -> None:
        """The log has what waited in the outbox, up to a mark."""
        outbox_table.delete_sent(self._database, mark)

    def change(self, make: Callable[[sqlite3.Connection], None]) -> None:
        """Makes a change of the whole store."""
        make(self._database)

    def stop(self, stop: Stop) -> None:
        """Records that an experiment was stopped; a later stop counts instead of an earlier one."""
        self._database.execute("INSERT OR REPLACE INTO stops VALUES (?, ?, ?, ?)", stop)

    def _profile(self, user_id: str) -> LiveProfile:
        return self._profiles.get(user_id) or read_profile(self._database, user_id)

    def _remove(self, user_id: str, tables: Sequence[str]) -> int:
        self._profiles.pop(user_id, None)
        counts = [
            self._database.execute(f"DELETE FROM {table} WHERE user_id = ?", (user_id,)).rowcount for table in tables
        ]
        return counts[-1]


def insert_event(database: sqlite3.Connection, event: LiveEvent, moved: int = 0) -> bool:
    """Whether there was no event of its id."""
    return database.execute(_INSERT, (*_row(event), moved)).rowcount > 0


def insert_exposure(database: sqlite3.Connection, exposure: Exposure) -> int:
    """Stores a page, if there is none of its id; gives the number of the newest page."""
    query = f"INSERT INTO exposures ({_OF_PAGES}) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
    return database.execute(query, exposure[:5]).lastrowid or 0


def read_exposures_after(database: sqlite3.Connection, after: int, user_id: str = "") -> Iterator[Exposure]:
    """The pages behind a number that a user was served; "": that anybody was."""
    whose = "user_id = ?2" if user_id else "?2 = ''"
    query = f"SELECT {_OF_PAGES} FROM exposures WHERE seq > ?1 AND {whose} ORDER BY seq"
    return (Exposure(*row) for row in database.execute(query, (after, user_id)))


def read_profile(database: sqlite3.Connection, user_id: str) -> LiveProfile:
    """The stored profile; of an unknown user, an empty one."""
    row = database.execute("SELECT version, state FROM profiles WHERE user_id = ?", (user_id,)).fetchone()
    return LiveProfile.decode(*row) if row else LiveProfile()


def read_assigned(database: sqlite3.Connection, user_id: str) -> dict[str, str]:
    """Experiment → arm that a user keeps."""
    return dict(database.execute("SELECT experiment, arm FROM assignments WHERE user_id = ?", (user_id,)).fetchall())


def read_stops(database: sqlite3.Connection) -> list[Stop]:
    """The experiments that were stopped."""
    return [Stop(*row) for row in database.execute("SELECT experiment, arm, reason, at FROM stops")]


def read_events(database: sqlite3.Connection, user_id: str, last: int = _ALL) -> Iterator[LiveEvent]:
    """A user's events up to a number, in the order of arrival."""
    return map(_event, database.execute(_SELECT, (user_id, last)))


def read_unsealed_events(database: sqlite3.Connection, sealed: int) -> Iterator[LiveEvent]:
    """The events behind the last that were sealed, but those that moved there from a span."""
    columns = ", ".join(_COLUMNS)
    query = f"SELECT {columns} FROM events WHERE seq > ? AND seq NOT IN (SELECT seq FROM moved) ORDER BY seq"
    return map(_event, database.execute(query, (sealed,)))


def read_happened(
    database: sqlite3.Connection, after: int | None = None, limit: int = -1
) -> Iterator[tuple[int, str, str, int, int, str]]:
    """Number, item, type, time, arrival and user of all events, or of those that arrived after one of this number.

    An event that moved arrived when it had its first number.
    """
    which = "TRUE" if after is None else "seq > ?1 AND iif(moved, moved, seq) > ?1"
    query = f"SELECT seq, item_id, type, at, received_at, user_id FROM events WHERE {which} ORDER BY seq LIMIT ?2"
    return database.execute(query, (after, limit))


def _row(event: LiveEvent) -> tuple[Any, ...]:
    *plain, tags, settings, features, attributed = _values(event)
    return *plain, *(orjson.dumps(value).decode() for value in (tags, settings, features)), attributed


def _event(row: Sequence[Any]) -> LiveEvent:
    values = dict(zip(_COLUMNS, row, strict=True))
    tags, settings, features = (orjson.loads(values.pop(name)) for name in _JSON)
    attributed = bool(values.pop("attributed"))
    return LiveEvent(**values, tags=tuple(tags), settings=settings, features=features, attributed=attributed)
