"""Events leave the live store once they are sealed and old: their users' bases stand for them."""

from __future__ import annotations

import functools
import sqlite3

from homefeed.serving.profiles.live import apply, ruled_out
from homefeed.serving.profiles.sealing import Base, keep_base, read_base
from homefeed.serving.profiles.transaction import read_events, read_profile

USERS_A_STEP = 50  # Whose events leave in one transaction: gateways wait for it.


def last_to_leave(database: sqlite3.Connection, received_before: int, is_logged: bool = False) -> int:
    """The number up to which events may leave: they are in spans that are finished, and all came before a time.

    Args:
        database: of the live store.
        received_before: Unix milliseconds.
        is_logged: whether spans are written from a log of all gateways, which has all events that came before.
    """
    table, column = ("events", "seq") if is_logged else ("sealed WHERE is_done", "events_to")
    (sealed,) = database.execute(f"SELECT coalesce(max({column}), 0) FROM {table}").fetchone()
    query = "SELECT seq FROM events WHERE received_at >= ? AND seq <= ? ORDER BY seq LIMIT 1"
    kept = database.execute(query, (received_before, sealed)).fetchone()
    return int(kept[0] - 1 if kept else sealed)


def leave(database: sqlite3.Connection, last: int, received_before: int) -> int:
    """Folds the events of some users up to a number into their bases; gives how many left, 0 at the end.

    Args:
        database: of the live store, inside a transaction.
        last: number of the newest event that leaves.
        received_before: of all that leaves, Unix milliseconds.
    """
    query = "SELECT DISTINCT user_id FROM events WHERE seq <= ? LIMIT ?"
    users = [user for (user,) in database.execute(query, (last, USERS_A_STEP)).fetchall()]
    for user in users:
        base, events = read_base(database, user), list(read_events(database, user, last))
        profile = functools.reduce(apply, events, base.profile)
        log = ((event.item_id, event.type) for event in events)
        kept = Base(profile, *ruled_out(log, base.seen, base.hidden))
        now = read_profile(database, user)
        keep_base(database, user, kept, (now.version, now.encode()) == (profile.version, profile.encode()))
    marks = ", ".join("?" * len(users))
    gone = database.execute(f"DELETE FROM events WHERE seq <= ? AND user_id IN ({marks})", (last, *users)).rowcount
    database.execute("DELETE FROM moved WHERE seq <= ?", (last,))
    return gone
