"""What the log of all gateways has not confirmed yet: a store commits it together with what it is told.

A record is JSON, under the id of its user: an event, a page, or the word that a user was forgotten. What a guest did
comes a second time, as the user's, after they logged in.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, NamedTuple, Protocol

import orjson

from homefeed.serving.profiles.exposure import Exposure
from homefeed.serving.profiles.live import LiveEvent

MAX_ENTRIES = 1_000  # That are sent together.
MAX_WAITING = 100_000  # Entries beyond which pages no longer join them, at about 2 kB each; events always do.
WAIT_SECONDS = 0.2  # For something to send.

Mark = tuple[int, int]
"""Place of an entry in an outbox; later ones are greater, also after entries were removed."""
_OF_PAGES = Exposure._fields[:5]  # Arms that readers keep are in the page as well.


class Entry(NamedTuple):
    """A record that waits.

    Attributes:
        mark: its place.
        at: when it was stored, Unix milliseconds.
        user_id: whose it is: the log keeps the order of each user.
        record: as the log has it.
    """

    mark: Mark
    at: int
    user_id: str
    record: bytes


class Oldest(NamedTuple):
    """The first record that waits, and how many do."""

    mark: Mark
    at: int
    num_waiting: int


class Outbox(Protocol):
    """Entries in the order in which they were stored. Every method may raise StoreError."""

    async def is_mine(self) -> bool:
        """Whether this process is the one that sends; it may ask again and again, and another one takes over if it
        does not. Two at once send some records twice, and each user's first copies still in their order.
        """

    async def waiting(self) -> list[Entry]:
        """The oldest entries; waits a moment for the first."""

    async def sent(self, mark: Mark) -> None:
        """The log has all entries up to a mark: they go."""

    async def newest(self) -> Mark:
        """Of the newest entry; if none waits, one before any that will."""

    async def oldest(self) -> Oldest | None:
        """Of the oldest entry; None: nothing waits."""


def event_record(event: LiveEvent, guest: str = "") -> bytes:
    """An event; `guest` had it before its user logged in."""
    return _packed({"event": vars(event)}, guest)


def page_record(exposure: Exposure, guest: str = "") -> bytes:
    """A page that was served; as above."""
    said = dict(zip(_OF_PAGES, exposure, strict=False))
    return _packed({"page": {**said, "page": orjson.Fragment(exposure.page)}}, guest)


def forget_record(user_id: str) -> bytes:
    """A user was forgotten."""
    return orjson.dumps({"forget": {"user_id": user_id}})


def _packed(said: dict[str, Any], guest: str) -> bytes:
    return orjson.dumps({**said, "guest": guest} if guest else said)


@dataclasses.dataclass(frozen=True)
class Forgotten:
    """Who was forgotten."""

    user_id: str


def _types(kind: type) -> dict[str, Any]:
    """Field → what `isinstance` takes."""
    hints = typing.get_type_hints(kind)
    plain = {name: typing.get_origin(hint) or hint for name, hint in hints.items()}
    return {name: hints[name] if one is types.UnionType else one for name, one in plain.items()}


_TYPES: dict[type, dict[str, Any]] = {kind: _types(kind) for kind in (LiveEvent, Exposure, Forgotten)}


class Record(NamedTuple):
    """What a record says.

    Attributes:
        said: the event, the page, or who was forgotten.
        guest: whose it was before its user logged in; "": it was always theirs.
    """

    said: LiveEvent | Exposure | Forgotten
    guest: str = ""


def read_record(record: bytes) -> Record | None:
    """The inverse of the above; None: it is none of ours."""
    try:
        found = orjson.loads(record)
        guest = found.pop("guest", "")
        ((kind, said),) = found.items()
        if kind == "event":
            said["tags"] = tuple(said["tags"])
            return Record(LiveEvent(**_checked(said, LiveEvent)), guest)
        if kind == "page":
            return Record(Exposure(**_checked(said | {"page": orjson.dumps(said["page"])}, Exposure)), guest)
        return Record(Forgotten(**_checked(said, Forgotten))) if kind == "forget" else None
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def guest_of(record: bytes) -> str:
    """Whose a record was before its user logged in; "": it was always theirs."""
    found = read_record(record)
    return found.guest if found else ""


def _checked(said: dict[str, Any], kind: type) -> dict[str, Any]:
    """The fields of a record, if each is of its type."""
    if not all(isinstance(value, _TYPES[kind][name]) for name, value in said.items()):
        raise TypeError(kind)
    return said
