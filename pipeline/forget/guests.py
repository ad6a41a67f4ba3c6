"""The guests that somebody was before they logged in: what was sealed of these is theirs, too."""

from __future__ import annotations

import pathlib
from collections.abc import Collection, Iterable

from homefeed.pipeline.forget.files import opened
from homefeed.serving.log.copy import LOG_FILE_NAME
from homefeed.serving.profiles import guests
from homefeed.serving.profiles.store import LIVE_FILE_NAME


def find_guests(files: Iterable[pathlib.Path], users: Collection[str]) -> set[str]:
    """Who users were, by the live stores and copies of logs among some files."""
    found = set[str]()
    for path in filter(_knows_guests, files):
        with opened(path) as database:
            found |= guests.read_guests(database, users)
    return found


def forget_guests(files: Iterable[pathlib.Path], users: Collection[str]) -> None:
    """Call it when nothing of the guests is left elsewhere: who dies before it finds them again."""
    for path in filter(_knows_guests, files):
        with opened(path) as database:
            database.execute("PRAGMA secure_delete = ON")
            guests.forget_guests(database, users)
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _knows_guests(path: pathlib.Path) -> bool:
    return path.name in (LIVE_FILE_NAME, LOG_FILE_NAME)
