"""The audit trail of a serving directory: one SQLite file beside the models, whatever store gateways have.

Each entry is a transaction of its own (`synchronous=FULL`), and that of a change is on disk before the change is
made: who was told that it is made finds it after kill -9. Command lines and gateways write side by side. Pages are
not copied into it: the live store has them as exposures.
Users are called as in the stores, by pseudonyms where the data has a key, so that `homefeed forget` finds their rows;
of somebody who was forgotten a keyed hash stays, by which only who knows the id finds the entry.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import getpass
import itertools
import logging
import math
import os
import pathlib
import secrets
import sqlite3
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import orjson

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.audit.rows import (
    BEGUN,
    DAY_MILLISECONDS,
    OF_SOMEBODY,
    TABLES,
    begin_to_forget,
    delete_old,
    hashed,
    insert,
    tell,
)

FILE_NAME = "audit.sqlite"
KEPT_DAYS = 365
BUSY_SECONDS = 30.0
NEVER = 2**62  # Unix milliseconds.
MAX_ENTRIES = 100  # That are given at once, where nobody says how many.

What = Literal[
    "push", "promote", "roll back", "publish", "in force", "stop", "forget", "review", "why", "look", "export",
    "settings", "enter", "leave",
]  # fmt: skip
WHATS: tuple[What, ...] = get_args(What)

_logger = logging.getLogger(__name__)


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


Told = dict[str, Any]
"""Details of an entry that is not finished."""


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

    @property
    def since_ms(self) -> int:
        """Unix milliseconds, cut off as those of entries are: what came later in the same one is not missed."""
        return _milliseconds(self.since)

    @property
    def until_ms(self) -> int:
        """As `since_ms`; of no end, one that never comes."""
        return NEVER if self.until is None else _milliseconds(self.until)


def _milliseconds(seconds: float) -> int:
    """Of whole ones that were divided by 1000, the same again."""
    return math.floor(round(seconds * 1000, 3))


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
        self._add(what, who, subject, user_id, impression_id, details)

    @contextlib.contextmanager
    def change(self, what: What, who: str, subject: str = "", user_id: str = "", **details: Any) -> Iterator[Told]:
        """An entry of a change: on disk before the block makes it, and with its end behind it.

        An entry whose change failed has `outcome`, and one whose end could not be written as well.

        Yields:
            Details, to which the block may add.

        Raises:
            AuditError: nothing can be written; the block has not begun.
        """
        told: Told = dict(details)
        number = self._add(what, who, subject, user_id, "", told | {"outcome": BEGUN})
        try:
            yield told
        except BaseException as error:
            self._end(number, told | {"outcome": f"failed: {error}"})
            raise
        self._end(number, told)

    @contextlib.contextmanager
    def forgetting(self, names: Collection[str], who: str, **details: Any) -> Iterator[Told]:
        """As `change`, of forgetting somebody: at the end the entries about them are taken away, in one step with it.

        Who has the same person forgotten again and again has one entry a day.

        Args:
            names: what they were called.
            who, details: see `Entry`.

        Raises:
            AuditError: nothing can be written: the block has not begun, or entries about them are still there.
        """
        told: Told = dict(details)
        with self._writing() as database:
            numbers = {name: begin_to_forget(database, who, name, told) for name in sorted(names)}
        try:
            yield told
        except BaseException as error:
            for number, times in numbers.values():
                self._end(number, told | times | {"outcome": f"failed: {error}"})
            raise
        with self._writing() as database:
            for name, (number, times) in numbers.items():
                gone = database.execute(f"DELETE FROM trail WHERE {OF_SOMEBODY} AND user_id = ?", (name,)).rowcount
                tell(database, number, told | {"entries": gone} | times)

    def _add(
        self, what: What, who: str, subject: str, user_id: str, impression_id: str, details: Mapping[str, Any]
    ) -> int:
        with self._writing() as database:
            number = insert(database, what, who, subject, user_id, impression_id, details)
            if self._kept_days is not None:
                delete_old(database, round(self._kept_days * DAY_MILLISECONDS))
        return number

    def _end(self, number: int, details: Mapping[str, Any]) -> None:
        """The change is made, or not: whoever asked for it is told so, and not that this could not be written."""
        try:
            with self._writing() as database:
                tell(database, number, details)
        except AuditError as error:
            _logger.warning("%s; the entry of a change stays without its end", error)

    def renamed(self, guest: str, user_id: str) -> None:
        """A guest turned out to be a user: entries about them are about the user.

        Raises:
            AuditError: it is not on disk.
        """
        if self._path.is_file():
            with self._writing() as database:
                query = f"UPDATE trail SET user_id = ? WHERE {OF_SOMEBODY} AND user_id = ?"
                database.execute(query, (user_id, guest))

    def entries(self, wanted: Wanted | None = None) -> list[Entry]:
        """Entries, newest first; None: the newest of all.

        Raises:
            AuditError: the file cannot be read.
        """
        wanted = wanted or Wanted()
        if not self._path.is_file():
            return []
        with self._reading() as database:
            known = [*wanted.users, *(hashed(database, name) for name in wanted.users)]
            tests: dict[str, Sequence[Any]] = {
                "at >= ?": [wanted.since_ms],
                "at < ?": [wanted.until_ms],
                f"{OF_SOMEBODY} AND user_id IN ({', '.join('?' * len(known))})": known,
                f"what IN ({', '.join('?' * len(wanted.what))})": [*wanted.what],
                "impression_id != '' AND impression_id = ?": [wanted.impression_id] if wanted.impression_id else [],
                "subject = ?": [wanted.subject] if wanted.subject else [],
            }
            where = " AND ".join(test for test, values in tests.items() if values)
            query = f"SELECT {', '.join(Entry._fields)} FROM trail WHERE {where} ORDER BY at DESC, seq DESC LIMIT ?"
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
                database.executescript(TABLES)
                database.execute("INSERT OR IGNORE INTO secrets VALUES ('names', ?)", (secrets.token_bytes(32),))
                database.execute("BEGIN IMMEDIATE")
                yield database
                database.execute("COMMIT")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._named("read"):
            # Not mode=ro: what a writer who was killed has left half-way is undone by the next who reads.
            address = f"{self._path.resolve().as_uri()}?mode=rw"
            with contextlib.closing(sqlite3.connect(address, timeout=BUSY_SECONDS, uri=True)) as database:
                database.execute("PRAGMA query_only = ON")
                yield database

    @contextlib.contextmanager
    def _named(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise AuditError(
                f"{self._path} cannot be {verb}: {error}; free the disk, or give rights to it"
            ) from error


@contextlib.asynccontextmanager
async def aside(changing: contextlib.AbstractContextManager[Told]) -> AsyncIterator[Told]:
    """A block of `Trail.change` or `Trail.forgetting` in an event loop, which does not wait for the disk."""
    told = await asyncio.to_thread(changing.__enter__)
    try:
        yield told
    except BaseException as error:
        await asyncio.to_thread(changing.__exit__, type(error), error, error.__traceback__)
        raise
    await asyncio.to_thread(changing.__exit__, None, None, None)


def operator() -> str:
    """Who is at the command line: the user of this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A container's user may have no name.
        return str(os.getuid())
