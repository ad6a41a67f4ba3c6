"""Which guests turned out to be whom.

What was sealed of a guest stays under the guest's id, and the user they turned out to be may be forgotten later: by
then, only this table knows that those rows are theirs. It has a digest in place of the user's id, and so may outlive
what the live store knows of them, until `homefeed forget` has been everywhere.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection

TABLE = """
CREATE TABLE IF NOT EXISTS guests (
    guest TEXT NOT NULL, owner BLOB NOT NULL, PRIMARY KEY (owner, guest)
) WITHOUT ROWID;
"""


def digest(user_id: str) -> bytes:
    """What stands for an id where it must not be read."""
    return hashlib.blake2b(user_id.encode(), digest_size=16).digest()


def keep_guest(database: sqlite3.Connection, guest: str, user_id: str) -> None:
    """A guest turned out to be a user: kept as soon as a span may have the guest; again, it changes nothing."""
    query = "INSERT OR IGNORE INTO guests SELECT ?, ? WHERE EXISTS (SELECT 1 FROM sealed)"
    database.execute(query, (guest, digest(user_id)))


def read_guests(database: sqlite3.Connection, users: Collection[str]) -> set[str]:
    """Who some users were before they logged in; nobody, where the file is older than the table."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'guests'").fetchone():
        return set()
    query = f"SELECT guest FROM guests WHERE owner IN ({', '.join('?' * len(users))})"
    return {guest for (guest,) in database.execute(query, [*map(digest, users)])}


def forget_guests(database: sqlite3.Connection, users: Collection[str]) -> None:
    """Nothing of these users is left under the ids of the guests they were."""
    if read_guests(database, users):
        database.executemany("DELETE FROM guests WHERE owner = ?", [(digest(user),) for user in users])
