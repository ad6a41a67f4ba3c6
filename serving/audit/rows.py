"""Rows of the audit trail's table, inside the transactions of `Trail`."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

import orjson

NEWEST = 5  # Entries that have to agree that time has passed, before older ones are deleted.
MAX_DELETED = 2  # By each new entry.
DAY_MILLISECONDS = 86_400_000
OF_SOMEBODY = "user_id != ''"
"""Has to stand in a query by users: their index has no other entries, and SQLite does not look into parameters."""
BEGUN = "begun"
"""`outcome` of a change whose end nobody has written: it may have been made."""
TABLES = f"""
CREATE TABLE IF NOT EXISTS trail (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
    subject TEXT NOT NULL, user_id TEXT NOT NULL, impression_id TEXT NOT NULL, details TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS trail_at ON trail (at);
CREATE INDEX IF NOT EXISTS trail_kinds ON trail (what, at);
DROP INDEX IF EXISTS trail_what;
CREATE INDEX IF NOT EXISTS trail_users ON trail (user_id) WHERE {OF_SOMEBODY};
CREATE INDEX IF NOT EXISTS trail_pages ON trail (impression_id) WHERE impression_id != '';
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""


def insert(
    database: sqlite3.Connection,
    what: str,
    who: str,
    subject: str,
    user_id: str,
    impression_id: str,
    details: Mapping[str, Any],
) -> int:
    """Adds an entry of now; gives its number."""
    columns = ("at", "who", "what", "subject", "user_id", "impression_id", "details")
    query = f"INSERT INTO trail ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    told = orjson.dumps(details).decode()
    return database.execute(query, (now(), who, what, subject, user_id, impression_id, told)).lastrowid or 0


def tell(database: sqlite3.Connection, number: int, details: Mapping[str, Any]) -> None:
    """Says in an entry what else there is to know."""
    told = orjson.dumps(details, default=str).decode()
    database.execute("UPDATE trail SET details = ? WHERE seq = ?", (told, number))


def begin_to_forget(
    database: sqlite3.Connection, who: str, name: str, details: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    """Number of the entry, and how often it was so today."""
    called = hashed(database, name)
    of_today = f"{OF_SOMEBODY} AND user_id = ? AND who = ? AND what = 'forget' AND at > ?"
    query = f"SELECT seq, details FROM trail INDEXED BY trail_users WHERE {of_today}"
    found = database.execute(query, (called, who, now() - DAY_MILLISECONDS)).fetchone()
    if found is None:
        return insert(database, "forget", who, "", called, "", details | {"outcome": BEGUN}), {}
    times = {"times": orjson.loads(found[1]).get("times", 1) + 1}
    tell(database, found[0], details | times | {"outcome": BEGUN})
    return found[0], times


def delete_old(database: sqlite3.Connection, kept: int) -> None:
    """Lets the oldest go, a few at a time, once some entries agree how late it is: a clock may be ahead."""
    newest = "SELECT min(at) FROM (SELECT at FROM trail ORDER BY seq DESC LIMIT ?)"
    (agreed,) = database.execute(newest, (NEWEST,)).fetchone()
    oldest = "SELECT seq FROM trail ORDER BY seq LIMIT ?"
    query = f"DELETE FROM trail WHERE seq IN ({oldest}) AND at < ?"
    database.execute(query, (MAX_DELETED, min(agreed, now()) - kept))


def hashed(database: sqlite3.Connection, name: str) -> str:
    """What stays of somebody's name: the same for the same one, and of this file alone."""
    (secret,) = database.execute("SELECT value FROM secrets").fetchone()
    return f"forgotten:{hmac.new(secret, name.encode(), hashlib.sha256).hexdigest()[:32]}"


def now() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000
