"""Users' features and history, and items' cards, in SQLite: what requests and pages need beside the models."""

from __future__ import annotations

import contextlib
import json
import math
import pathlib
import sqlite3
import time
import types
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from homefeed.models.requests import Event, Request
from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.errors import HomefeedError
from homefeed.schemas.privacy import load_key, pseudonym
from homefeed.schemas.scratch import replacing

FILE_NAME = "profiles.sqlite"
FACTS = "facts"  # Setting: which columns of cards are facts.
DECLARED = "declared"  # Setting: which columns the items table has, even where no card has a value.


class ProfilesError(HomefeedError, ValueError):
    """A file is no store of profiles."""


class Item(NamedTuple):
    """What is shown of an item.

    Attributes:
        card: column → value, of the items table; None where the item is no longer in it.
        popularity: number of events with it at the push.
    """

    item_id: str
    title: str
    card: Mapping[str, Any] | None
    popularity: int


def write_profiles(
    path: pathlib.Path,
    profiles: Iterable[Request],
    titles: Mapping[str, str],
    user_key: str = "",
    cards: Mapping[str, Mapping[str, Any]] = types.MappingProxyType({}),
    facts: Sequence[str] = (),
    relations: Iterable[tuple[str, str]] = (),
    declared: Sequence[str] = (),
) -> None:
    """Writes a new store and puts it in the place of the old one at once.

    Args:
        path: of the store.
        profiles: of all users.
        titles: item id → title.
        user_key: where the key is (`env:NAME` or `file:PATH`), if the profiles have pseudonyms for user ids.
        cards: item id → column → value, of items that can be shown.
        facts: columns of the cards that are facts on items.
        relations: user and other, by the ids that profiles have; of each user the first one matters most.
        declared: columns that the items table has, even where no card has a value.
    """
    with replacing(path) as staging:
        popularity: Counter[str] = Counter()
        with contextlib.closing(sqlite3.connect(staging)) as database, database:
            database.execute("CREATE TABLE users (user_id TEXT PRIMARY KEY, features TEXT, history TEXT)")
            database.execute(
                "CREATE TABLE items (item_id TEXT PRIMARY KEY, title TEXT, card TEXT, popularity INTEGER)"
            )
            database.execute("CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT)")
            names = {FACTS: list(facts), DECLARED: list(declared)}
            settings = [("user_key", user_key), *((name, json.dumps(of)) for name, of in names.items())]
            database.executemany("INSERT INTO settings VALUES (?, ?)", settings)
            database.execute("CREATE TABLE relations (user_id TEXT, other_id TEXT)")
            database.executemany("INSERT INTO relations VALUES (?, ?)", relations)
            database.execute("CREATE INDEX relations_of ON relations (user_id)")
            database.executemany("INSERT INTO users VALUES (?, ?, ?)", (_row(one, popularity) for one in profiles))
            items = (_item_row(item_id, title, cards, popularity[item_id]) for item_id, title in titles.items())
            database.executemany("INSERT INTO items VALUES (?, ?, ?, ?)", items)


def _item_row(
    item_id: str, title: str, cards: Mapping[str, Mapping[str, Any]], popularity: int
) -> tuple[str, str, str | None, int]:
    card = json.dumps(cards[item_id], ensure_ascii=False) if item_id in cards else None
    return item_id, title, card, popularity


def user_key_of(path: pathlib.Path) -> str:
    """Where the key of a store's pseudonyms is, as `write_profiles` was told; "": it has none, or is no store."""
    address = f"{path.resolve().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
        try:
            (reference,) = database.execute("SELECT value FROM settings WHERE name = 'user_key'").fetchone()
        except (sqlite3.DatabaseError, TypeError):
            return ""
    return str(reference)


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
        self._has_relations = bool(columns_of(self._database, "relations"))

    @property
    def has_pseudonyms(self) -> bool:
        """Whether users are stored by pseudonyms."""
        return self._key is not None

    def get(self, user_id: str, now: int | None = None) -> Request:
        """What the user asks at a time, from their profile; an unknown one has no features and no history.

        Args:
            user_id: as the tables have it.
            now: Unix seconds; None: this machine's clock.
        """
        return self._get(user_id, pseudonym(user_id, self._key), now)

    def get_stored(self, name: str, now: int | None = None) -> Request:
        """`get` of a user as they are stored: by their pseudonym, if there is a key."""
        return self._get(name, name, now)

    def _get(self, user_id: str, name: str, now: int | None) -> Request:
        now = int(time.time()) if now is None else now
        query = "SELECT features, history FROM users WHERE user_id = ?"
        row = self._database.execute(query, (name,)).fetchone()
        if row is None:
            return Request(user_id, timestamp=now)
        history = [_event(*fields) for fields in json.loads(row[1])]
        return Request(user_id, history, json.loads(row[0]), now)

    def user_ids(self) -> Iterator[str]:
        """All known users as they are stored (by pseudonyms, if there is a key), in order."""
        for (user_id,) in self._database.execute("SELECT user_id FROM users ORDER BY user_id"):
            yield user_id

    @property
    def key(self) -> bytes | None:
        """The key of pseudonyms; None: users are stored by their own ids."""
        return self._key

    def items(self) -> Iterator[Item]:
        """All items, in order.

        Raises:
            DatasetError: the store is from a homefeed that published titles alone.
        """
        _require_cards(self._database)
        rows = self._database.execute("SELECT item_id, title, card, popularity FROM items ORDER BY item_id")
        for item_id, title, card, popularity in rows:
            yield Item(item_id, title, json.loads(card) if card else None, popularity)

    def facts(self) -> list[str]:
        """The columns of cards that are facts on items; of an earlier homefeed's store, none."""
        return self._names(FACTS)

    def declared(self) -> list[str]:
        """The columns that items have, even where no card has a value; of an earlier homefeed's store, none."""
        return self._names(DECLARED)

    def _names(self, setting: str) -> list[str]:
        found = self._database.execute("SELECT value FROM settings WHERE name = ?", (setting,)).fetchone()
        names: list[str] = json.loads(found[0]) if found else []
        return names

    def others(self, name: str) -> list[str]:
        """Whom a user is related to, both by the names that they are stored by."""
        query = "SELECT other_id FROM relations WHERE user_id = ? ORDER BY rowid"
        return [other for (other,) in self._database.execute(query, (name,))] if self._has_relations else []

    def titles(self, item_ids: Iterable[str]) -> list[str]:
        """Titles of items; an unknown item's own id."""
        find = "SELECT title FROM items WHERE item_id = ?"
        found = [(item_id, self._database.execute(find, (item_id,)).fetchone()) for item_id in item_ids]
        return [row[0] if row else item_id for item_id, row in found]


def _row(profile: Request, popularity: Counter[str]) -> tuple[str, str, str]:
    popularity.update(event.item_id for event in profile.history)
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


def update_items(
    path: pathlib.Path,
    titles: Mapping[str, str],
    cards: Mapping[str, Mapping[str, Any]],
    facts: Sequence[str] = (),
    declared: Sequence[str] = (),
) -> None:
    """Puts the items table as it is now into a store; who reads it at this moment keeps what was there.

    Items that are gone keep their titles, for histories, and lose their cards.
    """
    with (
        replacing(path) as staging,
        contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as old,
        contextlib.closing(sqlite3.connect(staging)) as new,
    ):
        _require_cards(old)
        old.backup(new)
        with new:
            new.execute("UPDATE items SET card = NULL")
            names = [(FACTS, json.dumps(list(facts))), (DECLARED, json.dumps(list(declared)))]
            new.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", names)
            rows = (_item_row(item_id, title, cards, 0) for item_id, title in titles.items())
            new.executemany(
                "INSERT INTO items VALUES (?, ?, ?, ?) "
                "ON CONFLICT (item_id) DO UPDATE SET title = excluded.title, card = excluded.card",
                rows,
            )


def columns_of(database: sqlite3.Connection, table: str) -> set[str]:
    """The columns of a table; none, if it is not there."""
    return {column[1] for column in database.execute(f'PRAGMA table_info("{table}")')}


def _require_cards(database: sqlite3.Connection) -> None:
    if "card" not in columns_of(database, "items"):
        raise DatasetError(
            "The profiles were pushed by an earlier homefeed, without cards: `homefeed run` pushes anew."
        )
