"""A log is turned on or off for a live store: nothing is lost by it, and nothing comes into two spans.

Without a log, spans are written from the store, and with one, from the log. So where one is turned on, what no span
has yet goes into the outbox; and where it is turned off, what the log was told counts as sealed.
"""

from __future__ import annotations

import sqlite3
import time

from homefeed.serving.profiles import outbox_table
from homefeed.serving.profiles.outbox import event_record, page_record
from homefeed.serving.profiles.sealing import TO_A_LOG
from homefeed.serving.profiles.transaction import read_exposures_after, read_unsealed_events

_SEALED = "SELECT coalesce(max(events_to), 0), coalesce(max(pages_to), 0) FROM sealed"


def switch(database: sqlite3.Connection, logs: bool) -> None:
    """What a gateway does when it starts on a store, inside a transaction.

    Args:
        database: of the live store.
        logs: whether what is stored goes to a log from now on.
    """
    if logs and not outbox_table.is_logged(database):
        _turn_on(database)
    elif not logs and outbox_table.is_logged(database):
        _turn_off(database)


def _turn_on(database: sqlite3.Connection) -> None:
    events_to, pages_to = database.execute(_SEALED).fetchone()
    for event in read_unsealed_events(database, events_to):
        outbox_table.put(database, event.user_id, event_record(event))
    for page in read_exposures_after(database, pages_to):
        outbox_table.put(database, page.user_id, page_record(page))
    database.execute("INSERT INTO logging VALUES (?, ?)", (events_to, pages_to))


def _turn_off(database: sqlite3.Connection) -> None:
    now = time.time_ns() // 1_000_000
    after = database.execute(_SEALED).fetchone()
    ends = (
        database.execute(f"SELECT coalesce(max(seq), 0) FROM {table}").fetchone()[0]
        for table in ("events", "exposures")
    )
    bounds = [(first, max(first, last)) for first, last in zip(after, ends, strict=True)]
    row = (f"{TO_A_LOG}{now}", now, *bounds[0], *bounds[1])
    database.execute("INSERT INTO sealed VALUES (?, ?, ?, ?, ?, ?, '{}', 1)", row)
    database.execute("DELETE FROM logging")
