"""Users' features and recent events, and items' titles, in SQLite: what a request needs beside the models."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pathlib
import sqlite3
import types
import uuid
from collections.abc import Iterable, Iterator, Mapping

from homefeed.models.requests import Event, Request
from homefeed.schemas.errors import HomefeedError
from homefeed.schemas.privacy import load_key, pseudonym

FILE_NAME = "profiles.sqlite"


class ProfilesError(HomefeedError, ValueError):
    """A file is no store of profiles."""


def write_profiles(
    path: pathlib.Path, profiles: Iterable[Request], titles: Mapping[str, str], user_key: str = ""
) -> None:
    """Writes a new store and puts it in the place of the old one at once.

    Args:
        path: of the store.
        profiles: of all users.
        titles: item id → title.
        user_key: where the key is (`env:NAME` or `file:PATH`), if the profiles have pseudonyms for user ids.
    """
    staging = path.with_name(f".{uuid.uuid4().hex}.tmp")
    with contextlib.closing(sqlite3.connect(staging)) as database, database:
        database.execute("CREATE TABLE users (user_id TEXT PRIMARY KEY, features TEXT, history TEXT)")
        database.execute("CREATE TABLE items (item_id TEXT PRIMARY KEY, title TEXT)")
        database.execute("CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT)")
        database.execute("INSERT INTO settings VALUES ('user_key', ?)", (user_key,))
        database.executemany("INSERT INTO users VALUES (?, ?, ?)", map(_row, profiles))
        database.executemany("INSERT INTO items VALUES (?, ?)", titles.items())
    os.replace(staging, path)


class ProfileStore:
    """Reads a store that `write_profiles` made. Users are asked for by their own ids, whatever they are stored by.

    Raises:
        FileNotFoundError: nothing has been published there yet.
        ProfilesError: what lies there is no store.
        DatasetError: the store has pseudonyms, and their key is not where it says.
    """

    def __init__(self, path: pathlib.Path):
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: `homefeed run` publishes it with the models")
        try:
            self._database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            (reference,) = self._database.execute("SELECT value FROM settings WHERE name = 'user_key'").fetchone()
        except (sqlite3.DatabaseError, TypeError) as error:
            raise ProfilesError(f"{path} holds no profiles ({error}): `homefeed run` publishes them") from error
        self._key = load_key(reference)

    def get(self, user_id: str) -> Request:
        """The user's profile; for an unknown user, one without features or history."""
        query = "SELECT features, history FROM users WHERE user_id = ?"
        row = self._database.execute(query, (pseudonym(user_id, self._key),)).fetchone()
        if row is None:
            return Request(user_id)
        history = [_event(*fields) for fields in json.loads(row[1])]
        return Request(user_id, history, json.loads(row[0]))

    def user_ids(self) -> Iterator[str]:
        """All known users as they are stored (by pseudonyms, if there is a key), in order."""
        for (user_id,) in self._database.execute("SELECT user_id FROM users ORDER BY user_id"):
            yield user_id

    def titles(self, item_ids: Iterable[str]) -> list[str]:
        """Titles of items; an unknown item's own id."""
        find = "SELECT title FROM items WHERE item_id = ?"
        found = [(item_id, self._database.execute(find, (item_id,)).fetchone()) for item_id in item_ids]
        return [row[0] if row else item_id for item_id, row in found]


def _row(profile: Request) -> tuple[str, str, str]:
    events = [
        (event.item_id, None if math.isnan(event.value) else event.value, event.event_type, event.timestamp)
        + ((event.features,) if event.features else ())
        for event in profile.history
    ]
    return profile.user_id, json.dumps(profile.features, ensure_ascii=False), json.dumps(events, ensure_ascii=False)


def _event(
    item_id: str,
    value: float | None,
    event_type: str,
    timestamp: int,
    features: Mapping[str, str | float] = types.MappingProxyType({}),
) -> Event:
    return Event(item_id, math.nan if value is None else value, event_type, timestamp, features)


def update_titles(path: pathlib.Path, titles: Mapping[str, str]) -> None:
    """Adds and replaces titles in a store; who reads it at this moment keeps what was there."""
    staging = path.with_name(f".{uuid.uuid4().hex}.tmp")
    with (
        contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as old,
        contextlib.closing(sqlite3.connect(staging)) as new,
    ):
        old.backup(new)
        with new:
            new.executemany("INSERT OR REPLACE INTO items VALUES (?, ?)", titles.items())
    os.replace(staging, path)
