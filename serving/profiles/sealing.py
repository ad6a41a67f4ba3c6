"""What of the live store was sealed into the data, and what is kept of events that have left it since.

A span is planned before it is written: as numbers of events and pages, which name the same rows whenever they are
read. Of events that leave, a base stays: the profile up to them, and the items that must not come again. Base and the
events behind it make the profile that all events made.
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from homefeed.serving.profiles.live import IMPRESSION, LiveEvent, LiveProfile

TABLES = """
CREATE TABLE IF NOT EXISTS sealed (
    span TEXT PRIMARY KEY, at INTEGER NOT NULL, events_after INTEGER NOT NULL, events_to INTEGER NOT NULL,
    pages_after INTEGER NOT NULL, pages_to INTEGER NOT NULL, files TEXT NOT NULL DEFAULT '{}',
    is_done INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS moved (seq INTEGER PRIMARY KEY, span TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS bases (
    user_id TEXT PRIMARY KEY, version INTEGER NOT NULL, state BLOB, ruled_out BLOB NOT NULL
);
"""
TO_A_LOG = "log-"
"""How entries of `sealed` are called that are no spans: what a log was told until it was turned off."""
MAX_SEEN = 1_000  # Items of a base; by the time that there are more, the data's own profile has the oldest.

# Events that moved from a guest to a user behind the events that were sealed; `span` has them already, or will.
_OF_SPAN = "((events.seq > ? AND events.seq <= ? AND moved.span IS NULL) OR moved.span = ?)"
_WITH_MOVED = "FROM events LEFT JOIN moved USING (seq)"


@contextlib.contextmanager
def writing(database: sqlite3.Connection) -> Iterator[None]:
    """A transaction: all of it, or nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


Types = dict[str, tuple[int, int]]
"""Type of events → how many, and of how many users."""


class Plan(NamedTuple):
    """What a span holds: the events and pages with these numbers, and the events that were moved out of them.

    Attributes:
        span: its name.
        at: when it was planned, Unix milliseconds.
        events_after, events_to: the events' numbers are above the first and not above the second.
        pages_after, pages_to: the same of pages.
    """

    span: str
    at: int
    events_after: int
    events_to: int
    pages_after: int
    pages_to: int

    @property
    def _events(self) -> tuple[int, int, str]:
        return self.events_after, self.events_to, self.span


class Base(NamedTuple):
    """What is kept of the events that have left.

    Attributes:
        profile: that they made.
        seen, hidden: items that must not come again.
    """

    profile: LiveProfile
    seen: Sequence[str] = ()
    hidden: Sequence[str] = ()


# --- Spans ---


def unfinished(database: sqlite3.Connection) -> Plan | None:
    """The span that was planned and is not known to be in its place."""
    row = database.execute(f"SELECT {', '.join(Plan._fields)} FROM sealed WHERE NOT is_done").fetchone()
    return Plan(*row) if row else None


def names(database: sqlite3.Connection) -> list[str]:
    """The names of all spans so far."""
    found = [span for (span,) in database.execute("SELECT span FROM sealed")]
    return [span for span in found if not span.startswith(TO_A_LOG)]


def next_plan(database: sqlite3.Connection, name: str, at: int, pages_before: int) -> Plan:
    """A span of all that came since the last one; nothing is stored.

    Args:
        database: of the live store.
        name: of the span.
        at: Unix milliseconds; what came later is for another span.
        pages_before: the same of pages, which are told to be seen a while after they were served.
    """
    after = database.execute("SELECT coalesce(max(events_to), 0), coalesce(max(pages_to), 0) FROM sealed").fetchone()
    newest = (
        database.execute(f"SELECT seq FROM {table} WHERE {column} < ? ORDER BY seq DESC LIMIT 1", (limit,)).fetchone()
        for table, column, limit in (("events", "received_at", at), ("exposures", "at", pages_before))
    )
    (events_to, pages_to) = (max(row[0], last) if row else last for row, last in zip(newest, after, strict=True))
    return Plan(name, at, after[0], events_to, after[1], pages_to)


def count_events(database: sqlite3.Connection, plan: Plan) -> int:
    """How many events a span has, but those that something was seen."""
    query = f"SELECT count(*) {_WITH_MOVED} WHERE {_OF_SPAN} AND type != ?"
    (count,) = database.execute(query, (*plan._events, IMPRESSION)).fetchone()
    return int(count)


def types_of(database: sqlite3.Connection, plan: Plan) -> Types:
    """Type → how many events with an item a span has, and of how many users."""
    query = (
        f"SELECT type, count(*), count(DISTINCT user_id) {_WITH_MOVED} WHERE {_OF_SPAN} AND item_id != ''"
        " GROUP BY type ORDER BY type"
    )
    return {kind: (events, users) for kind, events, users in database.execute(query, plan._events)}


def count_users(database: sqlite3.Connection, plan: Plan) -> int:
    """How many users a span has events of."""
    query = f"SELECT count(DISTINCT user_id) {_WITH_MOVED} WHERE {_OF_SPAN}"
    (count,) = database.execute(query, plan._events).fetchone()
    return int(count)


def keep_plan(database: sqlite3.Connection, plan: Plan) -> None:
    """Stores a plan: from now on it is what the span is."""
    columns = ", ".join(Plan._fields)
    database.execute(f"INSERT INTO sealed ({columns}) VALUES (?, ?, ?, ?, ?, ?)", plan)


def rename(database: sqlite3.Connection, plan: Plan, name: str) -> Plan:
    """Gives a span another name, before anything of it is in its place."""
    database.execute("UPDATE sealed SET span = ?, files = '{}' WHERE span = ?", (name, plan.span))
    database.execute("UPDATE moved SET span = ? WHERE span = ?", (name, plan.span))
    return plan._replace(span=name)


def keep_files(database: sqlite3.Connection, span: str, files: dict[str, Any]) -> None:
    """Stores what was written: path → digest and rows."""
    said = orjson.dumps(files, option=orjson.OPT_SORT_KEYS).decode()
    database.execute("UPDATE sealed SET files = ? WHERE span = ?", (said, span))


def files_of(database: sqlite3.Connection, span: str) -> dict[str, Any]:
    """What `keep_files` stored of a span; nothing, if it was not that far."""
    (said,) = database.execute("SELECT files FROM sealed WHERE span = ?", (span,)).fetchone()
    files: dict[str, Any] = orjson.loads(said)
    return files


def last_time(database: sqlite3.Connection) -> int:
    """When the last finished span was planned, Unix milliseconds; 0: there is none."""
    (at,) = database.execute("SELECT coalesce(max(at), 0) FROM sealed WHERE is_done").fetchone()
    return int(at)


def finish(database: sqlite3.Connection, span: str) -> None:
    """The span is in its place."""
    database.execute("UPDATE sealed SET is_done = 1 WHERE span = ?", (span,))


def users_of(database: sqlite3.Connection, plan: Plan) -> list[str]:
    """Who has an event or a page in a span."""
    query = (
        f"SELECT user_id {_WITH_MOVED} WHERE {_OF_SPAN}"
        " UNION SELECT user_id FROM exposures WHERE seq > ? AND seq <= ? ORDER BY user_id"
    )
    return [user for (user,) in database.execute(query, (*plan._events, plan.pages_after, plan.pages_to))]


def pages_of(database: sqlite3.Connection, plan: Plan, user_id: str) -> list[tuple[str, int, bytes]]:
    """Impression, Unix milliseconds and content of the pages that a user has in a span."""
    where = "user_id = ? AND seq > ? AND seq <= ?"
    query = f"SELECT impression_id, at, page FROM exposures WHERE {where} ORDER BY at, impression_id"
    return database.execute(query, (user_id, plan.pages_after, plan.pages_to)).fetchall()


def spans_of(database: sqlite3.Connection, user_id: str) -> list[str]:
    """The span of each of a user's events, in the order of arrival; "": of none yet."""
    query = (
        "SELECT coalesce(moved.span, (SELECT span FROM sealed WHERE seq > events_after AND seq <= events_to), '')"
        f" {_WITH_MOVED} WHERE user_id = ? ORDER BY seq"
    )
    return [span for (span,) in database.execute(query, (user_id,))]


def move(database: sqlite3.Connection, events: Iterable[LiveEvent], spans: Iterable[str]) -> None:
    """Events have a new number, and their spans stay what they were."""
    for event, span in zip(events, spans, strict=True):
        if span:
            move_one(database, event.event_id, span)


def span_of(database: sqlite3.Connection, event_id: str) -> str:
    """The span of an event; "": of none yet."""
    query = (
        "SELECT coalesce(moved.span, (SELECT span FROM sealed WHERE seq > events_after AND seq <= events_to), '')"
        f" {_WITH_MOVED} WHERE event_id = ?"
    )
    row = database.execute(query, (event_id,)).fetchone()
    return str(row[0]) if row else ""


def move_one(database: sqlite3.Connection, event_id: str, span: str) -> None:
    """As `move`, of one event."""
    database.execute("INSERT OR REPLACE INTO moved SELECT seq, ? FROM events WHERE event_id = ?", (span, event_id))


# --- What is kept of events that left ---


def read_ruled_out(database: sqlite3.Connection, user_id: str) -> tuple[Sequence[str], Sequence[str]]:
    """Items of a user's base: seen and hidden."""
    row = database.execute("SELECT ruled_out FROM bases WHERE user_id = ?", (user_id,)).fetchone()
    return orjson.loads(zlib.decompress(row[0])) if row else ((), ())


def read_base(database: sqlite3.Connection, user_id: str) -> Base:
    """A user's base; of who has all their events, an empty one."""
    query = (
        "SELECT bases.version, bases.state, profiles.state FROM bases LEFT JOIN profiles USING (user_id)"
        " WHERE user_id = ?"
    )
    row = database.execute(query, (user_id,)).fetchone()
    if row is None:
        return Base(LiveProfile())
    version, own, of_profile = row
    profile = LiveProfile.decode(version, of_profile if own is None else zlib.decompress(own))
    return Base(profile, *read_ruled_out(database, user_id))


def keep_base(database: sqlite3.Connection, user_id: str, base: Base, is_profile: bool) -> None:
    """Stores a user's base; the state of one that is the profile is not stored twice."""
    state = None if is_profile else zlib.compress(base.profile.encode())
    row = (user_id, base.profile.version, state, _packed(base.seen, base.hidden))
    database.execute("INSERT OR REPLACE INTO bases VALUES (?, ?, ?, ?)", row)


def keep_states(database: sqlite3.Connection, users: Iterable[str]) -> None:
    """Before profiles change: a base without a state of its own had the profile's."""
    query = "SELECT profiles.state FROM bases JOIN profiles USING (user_id) WHERE user_id = ? AND bases.state IS NULL"
    for user in users:
        if row := database.execute(query, (user,)).fetchone():
            database.execute("UPDATE bases SET state = ? WHERE user_id = ?", (zlib.compress(row[0]), user))


def rule_out(database: sqlite3.Connection, user_id: str, seen: Sequence[str], hidden: Sequence[str]) -> None:
    """Adds items to a user's base."""
    if not seen and not hidden:
        return
    query = "INSERT INTO bases VALUES (?, 0, ?, ?) ON CONFLICT DO NOTHING"
    database.execute(query, (user_id, zlib.compress(LiveProfile().encode()), _packed((), ())))
    old_seen, old_hidden = read_ruled_out(database, user_id)
    packed = _packed([*old_seen, *seen], [*old_hidden, *hidden])
    database.execute("UPDATE bases SET ruled_out = ? WHERE user_id = ?", (packed, user_id))


def _packed(seen: Iterable[str], hidden: Iterable[str]) -> bytes:
    newest = ([*dict.fromkeys(items)][-MAX_SEEN:] for items in (seen, hidden))
    return zlib.compress(orjson.dumps([*newest]))
