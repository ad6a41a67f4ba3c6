"""The audit trail of a serving directory: one SQLite file beside the models, whatever store gateways have.

Each entry is a transaction of its own (`synchronous=FULL`): who was told that a change is made finds it after
kill -9, and command lines and gateways write side by side. Pages are not copied into it: the live store has them as
exposures.
Users are called as in the stores, by pseudonyms where the data has a key, so that `homefeed forget` finds their rows;
of somebody who was forgotten a keyed hash stays, by which only who knows the id finds the entry.
"""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import hashlib
import hmac
import itertools
import os
import pathlib
import secrets
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import orjson

from homefeed.schemas.errors import HomefeedError

FILE_NAME = "audit.sqlite"
KEPT_DAYS = 365
BUSY_SECONDS = 30.0
MAX_ENTRIES = 100  # That are given at once, where nobody says how many.

What = Literal[
    "push", "promote", "roll back", "publish", "in force", "stop", "forget", "review", "why", "look", "export",
    "settings", "enter",
]  # fmt: skip
WHATS: tuple[What, ...] = get_args(What)

_TABLES = """
CREATE TABLE IF NOT EXISTS trail (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
    subject TEXT NOT NULL, user_id TEXT NOT NULL, impression_id TEXT NOT NULL, details TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS trail_at ON trail (at);
CREATE INDEX IF NOT EXISTS trail_what ON trail (what, seq);
CREATE INDEX IF NOT EXISTS trail_users ON trail (user_id) WHERE user_id != '';
CREATE INDEX IF NOT EXISTS trail_pages ON trail (impression_id) WHERE impression_id != '';
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""


class AuditError(HomefeedError, RuntimeError):
    """The trail cannot be read or written."""


class Entry(NamedTuple):
    """One fact.

    Attributes:
        at: Unix milliseconds.
        who: an operator, the name of a key, `gateway`, or `reader` of their own page.
        what: was done.
        subject: of it: a version, a kind of file, an experiment, an item.
        user_id: whom it is about, as stores call them; "": nobody.
        impression_id: the page that it is about; "": none.
        details: what else there is to know.
    """

    at: int
    who: str
    what: str
    subject: str = ""
    user_id: str = ""
    impression_id: str = ""
    details: Mapping[str, Any] = {}


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which entries.

    Attributes:
        since, until: Unix seconds; the last one is not included.
        users: names of somebody, as in `Entry`; what was written when they were forgotten is found as well.
        impression_id, what, subject: that entries are about; empty: all.
        limit: how many at most.
    """

    since: float = 0.0
    until: float | None = None
    users: Collection[str] = ()
    impression_id: str = ""
    what: Collection[str] = ()
    subject: str = ""
    limit: int = MAX_ENTRIES


class Trail:
    """Adds entries, and finds them.

    Args:
        path: of the file, made by the first entry.
        kept_days: older entries are deleted by the next one; None: whoever keeps time deletes them.
    """

    def __init__(self, path: pathlib.Path, kept_days: float | None = None):
        self._path, self._kept_days = path, kept_days

    @classmethod
    def beside(cls, serving_dir: str | pathlib.Path) -> Trail:
        """The trail of a local serving directory."""
        return cls(pathlib.Path(serving_dir) / FILE_NAME)

    def add(
        self, what: What, who: str, subject: str = "", user_id: str = "", impression_id: str = "", **details: Any
    ) -> None:
        """Writes an entry of now; it is on disk when this returns.

        Raises:
            AuditError: it is not.
        """
        with self._writing() as database:
            _insert(database, what, who, subject, user_id, impression_id, details)
            if self._kept_days is not None:
                database.execute("DELETE FROM trail WHERE at < ?", (_now() - round(self._kept_days * 86_400_000),))

    def forgotten(self, names: Collection[str], who: str, **details: Any) -> None:
        """Writes that somebody was forgotten, and takes the entries about them away, in one step.

        Args:
            names: what they were called.
            who, details: see `Entry`.

        Raises:
            AuditError: it is not on disk.
        """
        with self._writing() as database:
            for name in sorted(names):
                gone = database.execute("DELETE FROM trail WHERE user_id = ?", (name,)).rowcount
                _insert(database, "forget", who, "", _hashed(database, name), "", details | {"entries": gone})

    def renamed(self, guest: str, user_id: str) -> None:
        """A guest turned out to be a user: entries about them are about the user.

        Raises:
            AuditError: it is not on disk.
        """
        if self._path.is_file():
            with self._writing() as database:
                database.execute("UPDATE trail SET user_id = ? WHERE user_id = ?", (user_id, guest))

    def entries(self, wanted: Wanted | None = None) -> list[Entry]:
        """Entries, newest first; None: the newest of all.

        Raises:
            AuditError: the file cannot be read.
        """
        wanted = wanted or Wanted()
        if not self._path.is_file():
            return []
        with self._reading() as database:
            known = [*wanted.users, *(_hashed(database, name) for name in wanted.users)]
            tests: dict[str, Sequence[Any]] = {
                "at >= ?": [round(wanted.since * 1000)],
                "at < ?": [] if wanted.until is None else [round(wanted.until * 1000)],
                f"user_id IN ({', '.join('?' * len(known))})": known,
                f"what IN ({', '.join('?' * len(wanted.what))})": [*wanted.what],
                "impression_id = ?": [wanted.impression_id] if wanted.impression_id else [],
                "subject = ?": [wanted.subject] if wanted.subject else [],
            }
            where = " AND ".join(test for test, values in tests.items() if values)
            query = f"SELECT {', '.join(Entry._fields)} FROM trail WHERE {where} ORDER BY seq DESC LIMIT ?"
            rows = database.execute(query, [*itertools.chain.from_iterable(tests.values()), wanted.limit]).fetchall()
        return [Entry._make([*row[:-1], orjson.loads(row[-1])]) for row in rows]

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._named("written"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(
                sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
            ) as database:
                database.execute("PRAGMA synchronous = FULL")
                database.execute("PRAGMA secure_delete = ON")
                database.executescript(_TABLES)
                database.execute("INSERT OR IGNORE INTO secrets VALUES ('names', ?)", (secrets.token_bytes(32),))
                database.execute("BEGIN IMMEDIATE")
                yield database
                database.execute("COMMIT")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._named("read"):
            address = f"{self._path.resolve().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(address, timeout=BUSY_SECONDS, uri=True)) as database:
                yield database

    @contextlib.contextmanager
    def _named(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise AuditError(
                f"{self._path} cannot be {verb}: {error}; free the disk, or give rights to it"
            ) from error


def _insert(
    database: sqlite3.Connection,
    what: What,
    who: str,
    subject: str,
    user_id: str,
    impression_id: str,
    details: Mapping[str, Any],
) -> None:
    columns = Entry._fields
    query = f"INSERT INTO trail ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    told = orjson.dumps(details).decode()
    database.execute(query, (_now(), who, what, subject, user_id, impression_id, told))


def _hashed(database: sqlite3.Connection, name: str) -> str:
    """What stays of somebody's name: the same for the same one, and of this file alone."""
    (secret,) = database.execute("SELECT value FROM secrets").fetchone()
    return f"forgotten:{hmac.new(secret, name.encode(), hashlib.sha256).hexdigest()[:32]}"


def _now() -> int:
    return time.time_ns() // 1_000_000


def operator() -> str:
    """Who is at the command line: the user of this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A container's user may have no name.
        return str(os.getuid())
