"""The outbox in Redis: a stream that the same scripts write as events, and which gateways take turns to send."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from homefeed.serving.profiles.live import LiveEvent
from homefeed.serving.profiles.outbox import (
    MAX_ENTRIES,
    MAX_WAITING,
    WAIT_SECONDS,
    Entry,
    Mark,
    Oldest,
    event_record,
    guest_of,
)
from homefeed.serving.profiles.redis_commands import Command, key
from homefeed.serving.profiles.transaction import Outcome

TURN_MILLISECONDS = 3_000  # After which another gateway sends, if one that sent does no longer ask.
_TURN = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
OUTBOX, SENDER, LOGGING = key("outbox"), key("sender"), key("logging")


def put(record: bytes, user_id: str) -> Command:
    """The command that adds a record."""
    return ["XADD", OUTBOX, "*", "user", user_id, "record", record.decode()]


def told(events: Iterable[tuple[LiveEvent, Outcome]], guest: str = "") -> list[Command]:
    """The commands that add the events that were accepted."""
    return [put(event_record(event, guest), event.user_id) for event, outcome in events if outcome.accepted]


async def waiting_of(redis: Any, user_id: str) -> list[str]:
    """Names of the entries of a user, and of the guests who they were; who looks for them has not many."""
    users, found = {user_id}, list[tuple[str, str]]()
    async for name, user, record in _entries(redis):
        found.append((name, user))
        if user == user_id:
            users.add(guest_of(record))
    return [name for name, user in found if user in users]


async def has_room(redis: Any) -> bool:
    """Whether a page may join what waits."""
    return bool(await redis.xlen(OUTBOX) < MAX_WAITING)


async def _entries(redis: Any) -> AsyncIterator[tuple[str, str, bytes]]:
    after = "-"
    while found := await redis.xrange(OUTBOX, min=after, count=MAX_ENTRIES):
        for name, said in found:
            yield name.decode(), said[b"user"].decode(), said[b"record"]
        after = f"({found[-1][0].decode()}"


class RedisOutbox:
    """See `outbox.Outbox`.

    Args:
        redis: the client.
        reaching: makes a StoreError of what goes wrong.
    """

    def __init__(self, redis: Any, reaching: Callable[[], contextlib.AbstractContextManager[None]]):
        self._redis, self._reaching, self._name = redis, reaching, secrets.token_hex(8)

    async def is_mine(self) -> bool:
        """See `Outbox.is_mine`."""
        with self._reaching():
            return bool(await self._redis.eval(_TURN, 1, SENDER, self._name, TURN_MILLISECONDS))

    async def waiting(self) -> list[Entry]:
        """See `Outbox.waiting`."""
        with self._reaching():
            found = await self._redis.xread({OUTBOX: "0"}, count=MAX_ENTRIES, block=int(WAIT_SECONDS * 1000))
        return [
            Entry(_mark(name), _mark(name)[0], said[b"user"].decode(), said[b"record"])
            for _, entries in found
            for name, said in entries
        ]

    async def sent(self, mark: Mark) -> None:
        """See `Outbox.sent`."""
        with self._reaching():
            await self._redis.xtrim(OUTBOX, minid=f"{mark[0]}-{mark[1] + 1}", approximate=False)

    async def newest(self) -> Mark:
        """See `Outbox.newest`."""
        with self._reaching():
            found = await self._redis.xrevrange(OUTBOX, count=1)
        return _mark(found[0][0]) if found else (0, 0)

    async def oldest(self) -> Oldest | None:
        """See `Outbox.oldest`."""
        with self._reaching():
            async with self._redis.pipeline() as reads:
                found, count = await reads.xrange(OUTBOX, count=1).xlen(OUTBOX).execute()
        return Oldest(_mark(found[0][0]), _mark(found[0][0])[0], count) if found else None


def _mark(name: bytes) -> Mark:
    milliseconds, number = map(int, name.split(b"-"))
    return milliseconds, number
