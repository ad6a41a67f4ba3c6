"""The outbox of `live.sqlite`: a table that the same transactions write as events and pages."""

from __future__ import annotations

import sqlite3
import time

from homefeed.serving.profiles.outbox import MAX_ENTRIES, MAX_WAITING, Entry, Mark, Oldest, guest_of

TABLE = """
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, user_id TEXT NOT NULL, record BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS logging (events_to INTEGER NOT NULL, pages_to INTEGER NOT NULL);
"""


def put(database: sqlite3.Connection, user_id: str, record: bytes) -> None:
    """Adds a record."""
    query = "INSERT INTO outbox (at, user_id, record) VALUES (?, ?, ?)"
    database.execute(query, (time.time_ns() // 1_000_000, user_id, record))


def read_waiting(database: sqlite3.Connection) -> list[Entry]:
    """The oldest entries."""
    query = "SELECT number, at, user_id, record FROM outbox ORDER BY number LIMIT ?"
    return [Entry((0, number), *rest) for number, *rest in database.execute(query, (MAX_ENTRIES,))]


def delete_sent(database: sqlite3.Connection, mark: Mark) -> None:
    """Removes all entries up to a mark."""
    database.execute("DELETE FROM outbox WHERE number <= ?", mark[1:])


def read_newest(database: sqlite3.Connection) -> Mark:
    """The mark of the newest entry; of none, one before any that will be."""
    (number,) = database.execute("SELECT coalesce(max(number), 0) FROM outbox").fetchone()
    return 0, number


def read_oldest(database: sqlite3.Connection) -> Oldest | None:
    """The oldest entry, and how many there are."""
    query = "SELECT number, at, (SELECT max(number) FROM outbox) FROM outbox ORDER BY number LIMIT 1"
    row = database.execute(query).fetchone()
    return Oldest((0, row[0]), row[1], row[2] - row[0] + 1) if row else None


def has_room(database: sqlite3.Connection) -> bool:
    """Whether a page may join what waits."""
    oldest = read_oldest(database)
    return oldest is None or oldest.num_waiting < MAX_WAITING


def has(database: sqlite3.Connection, user_id: str) -> bool:
    """Whether something of a user waits."""
    return database.execute("SELECT 1 FROM outbox WHERE user_id = ? LIMIT 1", (user_id,)).fetchone() is not None


def delete_of(database: sqlite3.Connection, user_id: str) -> None:
    """Removes what waits of a user, and of the guests who they were."""
    records = database.execute("SELECT record FROM outbox WHERE user_id = ?", (user_id,)).fetchall()
    names = {user_id, *(guest_of(record) for (record,) in records)} - {""}
    database.executemany("DELETE FROM outbox WHERE user_id = ?", [(name,) for name in names])


def is_logged(database: sqlite3.Connection) -> bool:
    """Whether the gateway's last start was with a log."""
    return read_sealed_before(database) is not None


def read_sealed_before(database: sqlite3.Connection) -> tuple[int, int] | None:
    """Numbers of events and of pages up to which spans were written before there was a log; None: there is none."""
    try:
        row = database.execute("SELECT events_to, pages_to FROM logging").fetchone()
    except sqlite3.OperationalError:  # Of an earlier homefeed.
        return None
    return (int(row[0]), int(row[1])) if row else None
