"""A copy of the log as tables: what `live.sqlite` would hold if one gateway had taken all events.

The copy goes up to offsets that are stored before anything is read. What lies between is read, with the offset to go
on from in the same commit, and then taken over in the order of time, in one transaction. Whoever dies anywhere in
between is followed by one who reads the same offsets, and so makes the same copy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import sqlite3
import time
from collections.abc import Collection, Iterable

from homefeed.serving.log.address import LogError, read_address
from homefeed.serving.log.kafka import Bounds, Logged, LogReader
from homefeed.serving.profiles.exposure import Exposure
from homefeed.serving.profiles.guests import digest, keep_guest
from homefeed.serving.profiles.live import LiveEvent
from homefeed.serving.profiles.outbox import Forgotten, Record, guest_of, read_record
from homefeed.serving.profiles.sealing import move_one, span_of, writing
from homefeed.serving.profiles.store import BUSY_SECONDS
from homefeed.serving.profiles.transaction import insert_event, insert_exposure

LOG_FILE_NAME = "log.sqlite"
TABLES = """
CREATE TABLE IF NOT EXISTS offsets (
    part INTEGER PRIMARY KEY, next INTEGER NOT NULL, until INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS read (
    part INTEGER NOT NULL, place INTEGER NOT NULL, at INTEGER NOT NULL, number INTEGER NOT NULL,
    user_id TEXT NOT NULL, record BLOB NOT NULL, PRIMARY KEY (part, place)
);
CREATE TABLE IF NOT EXISTS closed (digest BLOB PRIMARY KEY, at INTEGER NOT NULL, number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclasses.dataclass
class Copied:
    """What was read of a log.

    Attributes:
        records: that were read.
        unreadable: of these, how many are none of ours.
        gone: records that the log no longer had, and that no copy has.
    """

    records: int = 0
    unreadable: int = 0
    gone: int = 0


def copy_log(database: sqlite3.Connection, url: str) -> Copied:
    """Reads what came to a log since the last time.

    Args:
        database: of the copy, which has the tables of a live store.
        url: of the log.

    Raises:
        LogError: the log is out of reach, or is another than the copy is of.
    """
    address = read_address(url)
    reader = LogReader(address)
    copied = Copied()
    with contextlib.closing(reader):
        bounds = reader.bounds()
        _require_same(database, f"{reader.cluster()}/{address.topic}", address.name)
        with writing(database):
            copied.gone = _plan(database, bounds, address.name)
        ranges = {part: (first, end) for part, first, end in database.execute("SELECT * FROM offsets")}
        for batch in reader.read(ranges):
            with writing(database):
                _keep(database, batch)
    with writing(database):
        _take_over(database, copied)
    return copied


def make_log_tables(database: sqlite3.Connection) -> None:
    """Makes the tables that a copy has beside those of a live store."""
    database.executescript(TABLES)


def leave(database: sqlite3.Connection, last: int, received_before: int) -> int:
    """Removes sealed events up to a number, and the pages that were sealed; gives the number of events.

    Args:
        database: of the copy, inside a transaction.
        last: number of the newest event that leaves.
        received_before: Unix milliseconds, of all that leaves.
    """
    left = max(received_before, _left_before(database))
    database.execute("INSERT OR REPLACE INTO facts VALUES ('left_before', ?)", (str(left),))
    (sealed,) = database.execute("SELECT coalesce(max(pages_to), 0) FROM sealed WHERE is_done").fetchone()
    database.execute("DELETE FROM exposures WHERE seq <= ? AND at < ?", (sealed, received_before))
    database.execute("DELETE FROM moved WHERE seq <= ?", (last,))
    return database.execute("DELETE FROM events WHERE seq <= ?", (last,)).rowcount


def close_user(database: sqlite3.Connection, user_id: str, at: int, number: int = 2**63 - 1) -> None:
    """From now on what the log has of a user up to a record is left out.

    They were forgotten, or were a guest whose records come again as those of the user who logged in. Copies of the
    old ones may still come: another gateway may have sent them, and nobody may have read the first ones yet.

    Args:
        database: of the copy.
        user_id: whose records they are.
        at, number: of the record; see `Logged`.
    """
    query = (
        "INSERT INTO closed VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at, number = excluded.number"
        " WHERE (excluded.at, excluded.number) > (closed.at, closed.number)"
    )
    database.execute(query, (digest(user_id), at, number))


def leave_out(path: pathlib.Path, users: Collection[str], stores: Iterable[pathlib.Path] = ()) -> str:
    """From now on a copy leaves out what the log has of users up to now, and of the guests who they were.

    Call it before their rows are deleted anywhere: by these it is known which guests they were.

    Args:
        path: of the copy, made if nothing was read of the log yet.
        users: who are forgotten.
        stores: live stores, in whose outboxes something of them may wait.

    Returns:
        The log's own name for itself; "" if nothing was read of it yet.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as database:
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        make_log_tables(database)
        with writing(database):
            for user in users:
                close_user(database, user, time.time_ns() // 1_000_000)
            for guest, at, number in _guests_of(database, "read", users):
                close_user(database, guest, at, number)
            for store in stores:
                for guest, at, number in _guests_in_outbox(store, users):
                    close_user(database, guest, at, number)
        row = database.execute("SELECT value FROM facts WHERE name = 'source'").fetchone()
    return str(row[0]) if row else ""


def _guests_in_outbox(store: pathlib.Path, users: Collection[str]) -> list[tuple[str, int, int]]:
    """As `_guests_of`; what waits of these guests goes with them."""
    with contextlib.closing(sqlite3.connect(store, timeout=BUSY_SECONDS, isolation_level=None)) as database:
        found = _guests_of(database, "outbox", users)
        query = "DELETE FROM outbox WHERE user_id = ? AND number <= ?"
        database.executemany(query, [(guest, number) for guest, _, number in found])
    return found


def _guests_of(database: sqlite3.Connection, table: str, users: Collection[str]) -> list[tuple[str, int, int]]:
    """Guests who logged in as one of some users, and time and number of the record that says so."""
    marks = ", ".join("?" * len(users))
    query = f"SELECT at, number, record FROM {table} WHERE user_id IN ({marks})"
    found = [(guest_of(record), at, number) for at, number, record in database.execute(query, [*users])]
    return [one for one in found if one[0]]


# --- What is read ---


def _require_same(database: sqlite3.Connection, source: str, name: str) -> None:
    database.execute("INSERT OR IGNORE INTO facts VALUES ('source', ?)", (source,))
    (known,) = database.execute("SELECT value FROM facts WHERE name = 'source'").fetchone()
    if known != source:
        raise LogError(
            f"{name} is {source}, and what was sealed here so far is of {known}; give that one, or remove "
            f"{LOG_FILE_NAME} if its records are no longer wanted"
        )


def _plan(database: sqlite3.Connection, bounds: dict[int, Bounds], name: str) -> int:
    """Stores the offsets up to which to read, unless some are left; gives how many records are gone."""
    known = {part: (first, until) for part, first, until in database.execute("SELECT * FROM offsets")}
    gone = 0
    for part, (first, until) in known.items():
        if part not in bounds or bounds[part].end < until:
            end = bounds[part].end if part in bounds else 0
            raise LogError(
                f"{name} ends at offset {end} of partition {part}, and {until} were known: the topic was made anew, "
                f"or lost records; remove {LOG_FILE_NAME} to begin again with what it has now"
            )
        gone += max(0, bounds[part].first - first)
    is_left = any(first < until for first, until in known.values())
    for part, bound in bounds.items():
        first, until = known.get(part, (0, 0))
        if part not in known:
            gone += bound.first
        row = (part, max(first, bound.first), until if is_left else bound.end)
        database.execute("INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)", row)
    return gone


def _keep(database: sqlite3.Connection, batch: list[Logged]) -> None:
    database.executemany("INSERT OR IGNORE INTO read VALUES (?, ?, ?, ?, ?, ?)", batch)
    ends = {one.partition: one.offset + 1 for one in batch}
    database.executemany("UPDATE offsets SET next = ?2 WHERE part = ?1", ends.items())


# --- What is taken over ---


def _left_before(database: sqlite3.Connection) -> int:
    """The time, Unix milliseconds, before which events and pages may have left the copy."""
    row = database.execute("SELECT value FROM facts WHERE name = 'left_before'").fetchone()
    return int(row[0]) if row else 0


def _take_over(database: sqlite3.Connection, copied: Copied) -> None:
    database.execute("UPDATE offsets SET next = max(next, until)")  # The last places of a range may be empty.
    # A partition's records stay in their order, whatever their clocks said.
    query = (
        "SELECT at, number, record FROM"
        " (SELECT *, max(at) OVER (PARTITION BY part ORDER BY place) AS newest FROM read)"
        " ORDER BY newest, part, place"
    )
    for at, number, said in database.execute(query):
        copied.records += 1
        record = read_record(said)
        if record is None:
            copied.unreadable += 1
        else:
            _take(database, record, (at, number))
    database.execute("DELETE FROM read")


def _take(database: sqlite3.Connection, record: Record, when: tuple[int, int]) -> None:
    said, guest = record
    if isinstance(said, Forgotten):
        for table in ("events", "exposures"):
            database.execute(f"DELETE FROM {table} WHERE user_id = ?", (said.user_id,))
        close_user(database, said.user_id, *when)
        return
    if guest:
        close_user(database, guest, *when)
        keep_guest(database, guest, said.user_id)
    if _is_closed(database, said.user_id, when):
        _drop(database, said, guest)
    elif isinstance(said, Exposure):
        _take_page(database, said, guest)
    elif guest:
        _take_moved(database, said, guest)
    else:
        insert_event(database, said)


def _drop(database: sqlite3.Connection, said: LiveEvent | Exposure, guest: str) -> None:
    """What a guest did who turned out to be somebody that is forgotten by now: it was read as the guest's before."""
    table, name, at = ("events", "event_id", "received_at")
    if isinstance(said, Exposure):
        table, name, at = ("exposures", "impression_id", "at")
    values = (getattr(said, name), guest, getattr(said, at))
    database.execute(f"DELETE FROM {table} WHERE {name} = ? AND user_id = ? AND {at} = ?", values)


def _take_page(database: sqlite3.Connection, page: Exposure, guest: str) -> None:
    query = "UPDATE exposures SET user_id = ? WHERE impression_id = ? AND user_id = ?"
    if guest and database.execute(query, (page.user_id, page.impression_id, guest)).rowcount:
        return
    if not guest or page.at >= _left_before(database):
        insert_exposure(database, page)


def _take_moved(database: sqlite3.Connection, event: LiveEvent, guest: str) -> None:
    """A guest's event, behind those of the user whom the guest turned out to be; `span` has it already, or will."""
    query = "SELECT user_id FROM events WHERE event_id = ?"
    owner = database.execute(query, (event.event_id,)).fetchone()
    if owner is None and event.received_at >= _left_before(database):
        insert_event(database, event)  # The guest's own partition is behind: the event comes a second time.
    if owner == (guest,):
        span = span_of(database, event.event_id)
        database.execute("DELETE FROM events WHERE event_id = ?", (event.event_id,))
        insert_event(database, event)
        if span:
            move_one(database, event.event_id, span)


def _is_closed(database: sqlite3.Connection, user_id: str, when: tuple[int, int]) -> bool:
    query = "SELECT (?2, ?3) <= (at, number) FROM closed WHERE digest = ?1"
    row = database.execute(query, (digest(user_id), *when)).fetchone()
    return bool(row and row[0])
