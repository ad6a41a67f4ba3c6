"""Pages as entries of the audit trail: what was asked, what answered, and what was in force."""

from __future__ import annotations

import bisect
import contextlib
import pathlib
import sqlite3
from collections.abc import Sequence
from typing import Any

import orjson

from homefeed.serving.audit.trail import NEVER, WHATS, Entry, Wanted
from homefeed.serving.profiles.exposure import Exposure
from homefeed.serving.profiles.store import LIVE_FILE_NAME, open_to_read

PAGE = "page"
KINDS = (*WHATS, PAGE)
"""What may be done, as entries name it."""
FACTS = ("surface", "query", "item_id", "served_by", "model_version", "rules_version", "arms", "set_aside", "unmet")
"""Of what is recorded of a page."""
_COLUMNS = f"SELECT {', '.join(Exposure._fields[:5])} FROM exposures"


def pages(serving_dir: pathlib.Path, wanted: Wanted) -> list[Entry]:
    """The pages that the live store has, newest first; none, where it is elsewhere. No query reads the whole log.

    Args:
        serving_dir: where `live.sqlite` is.
        wanted: which; `users` are names as the store has them.

    Raises:
        StoreError: the file cannot be read.
    """
    path = serving_dir / LIVE_FILE_NAME
    if not path.is_file():
        return []
    with contextlib.closing(open_to_read(path)) as database:
        rows = _rows(database, wanted)
    found = (page_entry(Exposure(*row)) for row in rows)
    return [one for one in found if wanted.since_ms <= one.at < wanted.until_ms]


def _rows(database: sqlite3.Connection, wanted: Wanted) -> list[Any]:
    if wanted.impression_id:
        return database.execute(f"{_COLUMNS} WHERE impression_id = ?", (wanted.impression_id,)).fetchall()
    if wanted.users:
        marks = ", ".join("?" * len(wanted.users))
        query = f"{_COLUMNS} WHERE user_id IN ({marks}) AND at < ? ORDER BY at DESC, seq DESC LIMIT ?"
        return database.execute(query, (*wanted.users, wanted.until_ms, wanted.limit)).fetchall()
    end = NEVER if wanted.until is None else _Times(database).before(wanted.until_ms)
    return database.execute(f"{_COLUMNS} WHERE seq < ? ORDER BY seq DESC LIMIT ?", (end, wanted.limit)).fetchall()


def page_entry(exposure: Exposure) -> Entry:
    """A page as an entry."""
    said = orjson.loads(exposure.page)
    facts = {name: said.get(name) for name in FACTS}
    return Entry(exposure.at, "reader", PAGE, "", exposure.user_id, exposure.impression_id, facts)


class _Times(Sequence[int]):
    """Times of pages by their number, which grow: a binary search takes twenty looks, and no index of times."""

    def __init__(self, database: sqlite3.Connection):
        self._database = database
        first, last = database.execute(
            "SELECT coalesce(min(seq), 0), coalesce(max(seq), -1) FROM exposures"
        ).fetchone()
        self._first, self._length = int(first), int(last) - int(first) + 1

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, place: Any) -> Any:
        query = "SELECT at FROM exposures WHERE seq >= ? ORDER BY seq LIMIT 1"
        return self._database.execute(query, (self._first + place,)).fetchone()[0]

    def before(self, at: int) -> int:
        """The number below which pages are older than this time (Unix milliseconds)."""
        return self._first + bisect.bisect_left(self, at)
