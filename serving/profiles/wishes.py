"""Who is to be forgotten, from the console's promise until `homefeed forget` has kept it.

A file beside the audit trail holds it. A promise outlives the process that made it; it ends with the last step of
`homefeed forget`, whoever ran it.
"""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3
import time
from collections.abc import Collection, Iterator

from homefeed.serving.profiles.store import BUSY_SECONDS, StoreError

WISHES_FILE_NAME = "wishes.sqlite"
MAX_WISHES = 20
_TABLE = "CREATE TABLE IF NOT EXISTS wishes (user_id TEXT PRIMARY KEY, at INTEGER NOT NULL)"


class WishError(StoreError):
    """There is no room for one more."""


class Wishes:
    """What is promised on this machine.

    Args:
        folder: where the audit trail is.
    """

    def __init__(self, folder: pathlib.Path):
        self._path = folder / WISHES_FILE_NAME

    def add(self, user_id: str) -> None:
        """Promises it; it is on disk when this returns.

        Raises:
            WishError: so many wait that nobody else is taken.
            StoreError: it is not on disk.
        """
        with self._opened() as database:
            (count,) = database.execute("SELECT count(*) FROM wishes WHERE user_id != ?", (user_id,)).fetchone()
            if count >= MAX_WISHES:
                raise WishError(f"{count} people wait to be forgotten, and no more may: come back when some are")
            now = time.time_ns() // 1_000_000
            database.execute("INSERT OR IGNORE INTO wishes VALUES (?, ?)", (user_id, now))

    def all(self) -> list[str]:
        """Who waits, the first first.

        Raises:
            StoreError: the file cannot be read.
        """
        if not self._path.is_file():
            return []
        with self._opened() as database:
            return [user for (user,) in database.execute("SELECT user_id FROM wishes ORDER BY at")]

    def end(self, names: Collection[str]) -> None:
        """They are forgotten, or it was no promise.

        Raises:
            StoreError: the file cannot be written.
        """
        if self._path.is_file():
            with self._opened() as database:
                database.executemany("DELETE FROM wishes WHERE user_id = ?", [(name,) for name in names])

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(
                sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
            ) as database:
                for pragma in ("synchronous = FULL", "secure_delete = ON"):
                    database.execute(f"PRAGMA {pragma}")
                database.execute(_TABLE)
                database.execute("BEGIN IMMEDIATE")
                yield database
                database.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._path}: {error}; free the disk, or give rights to it") from error
