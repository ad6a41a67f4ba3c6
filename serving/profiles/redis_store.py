"""The store of live profiles in Redis, for gateways on several machines.

Profiles are made here, in Python, and written on the condition that nothing has changed since they were read: events,
their dedupe keys and the profile of a user are one script, which Redis runs as a whole. Who finds that somebody else
was quicker reads again.

Keys, after `homefeed:`, are `profile:USER` (version, state), `events:USER`, `seen:USER`, `hidden:USER`, `pages:USER`
(what was shown to the user), `page:IMPRESSION`, `pages` (oldest first), `ids` (of all events) and `secret`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import secrets
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import redis.asyncio
from redis.exceptions import RedisError

from homefeed.serving.profiles.live import HIDING, NOT_SEEN, LiveEvent, LiveProfile, apply
from homefeed.serving.profiles.store import MAX_EXPOSURES, StoreBusy, StoreError
from homefeed.serving.profiles.transaction import KEPT_SECONDS, Exposure, Outcome

PREFIX = "homefeed:"
TIMEOUT_SECONDS = 5.0
MAX_CONNECTIONS = 32
MAX_TRIES = 100  # Before somebody is told to come back, where many change one user at the same time.
PAUSE_SECONDS = 0.002
COMPACT_SECONDS = 60.0
_WRITING = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress")
_OF_USERS = ("profile", "events", "seen", "hidden", "pages")

# Commands, if others still give what they gave before. Numbers are texts here: Lua's would lose digits.
_COMMIT = """
local job = cjson.decode(ARGV[1])
for _, known in ipairs(job.known) do
    if tostring(redis.call(unpack(known[1])) or '') ~= known[2] then return 0 end
end
for _, command in ipairs(job.commands) do redis.call(unpack(command)) end
return 1
"""
Command = list[str]


@dataclasses.dataclass(frozen=True)
class _Change:
    """What is written for one user, if `known` is still so.

    Attributes:
        outcomes: of the events, in order.
        known: commands and what they must give.
        commands: what is done then; none: there is nothing to do.
    """

    outcomes: list[Outcome]
    known: list[tuple[Command, str]]
    commands: list[Command]


class RedisStore:
    """See `stores.Store`. Events of a call are stored as a whole for each user.

    What is durable is what Redis is told to keep: `appendonly yes` and `appendfsync always` for what SQLite promises.

    Args:
        url: `redis://HOST:PORT/NUMBER`, `rediss://` or `unix://`.
        observe: is told of each commit: number of events and seconds.
        max_exposures: pages that are kept.

    Raises:
        StoreError: no such URL.
    """

    def __init__(
        self,
        url: str,
        observe: Callable[[int, float], None] = lambda events, seconds: None,
        max_exposures: int = MAX_EXPOSURES,
    ):
        self._name = _without_password(url)
        self._observe, self._max_exposures = observe, max_exposures
        try:
            pool = redis.asyncio.BlockingConnectionPool.from_url(
                url, max_connections=MAX_CONNECTIONS, socket_timeout=TIMEOUT_SECONDS, timeout=TIMEOUT_SECONDS
            )
        except ValueError as error:
            raise StoreError(f"{self._name} is no address of a store: {error}") from error
        self._redis: Any = redis.asyncio.Redis(connection_pool=pool)

    async def secret(self) -> bytes:
        """See `Store.secret`."""
        with self._reaching():
            await self._redis.set(_key("secret"), secrets.token_bytes(32), nx=True)
            found: bytes = await self._redis.get(_key("secret"))
        return found

    async def append(self, events: Sequence[LiveEvent]) -> list[Outcome]:
        """See `Store.append`."""
        started, outcomes = time.perf_counter(), dict[int, Outcome]()
        waiting: dict[str, list[int]] = {}
        for place, event in enumerate(events):
            waiting.setdefault(event.user_id, []).append(place)
        async for _ in self._tries():
            changes = await self._changes({user: [events[n] for n in places] for user, places in waiting.items()})
            done = await self._commit_all(changes)
            for (user, change), is_done in zip(changes.items(), done, strict=True):
                if is_done:
                    outcomes |= zip(waiting.pop(user), change.outcomes, strict=True)
            if not waiting:
                break
        self._observe(len(events), time.perf_counter() - started)
        return [outcomes[place] for place in range(len(events))]

    async def merge(self, guest: str, user_id: str) -> int:
        """See `Store.merge`."""
        async for _ in self._tries():
            moved = [dataclasses.replace(event, user_id=user_id) for event in await self.events(guest)]
            with self._reaching():
                pages = [page.decode() for page in await self._redis.smembers(_key("pages", guest))]
                profile, state = await self._profile(user_id)
            change = _folded(moved, profile, state)
            known = [*change.known, (["LLEN", _key("events", guest)], str(len(moved)))]
            commands = [["DEL", *(_key(kind, guest) for kind in _OF_USERS)], *change.commands]
            commands += [["HSET", _key("page", page), "user", user_id] for page in pages]
            commands += [["SADD", _key("pages", user_id), page] for page in pages]
            if (await self._commit_all({user_id: _Change([], known, commands)}))[0]:
                break
        return len(moved)

    async def forget(self, user_id: str) -> int:
        """See `Store.forget`."""
        async for _ in self._tries():
            events = await self.events(user_id)
            with self._reaching():
                pages = [page.decode() for page in await self._redis.smembers(_key("pages", user_id))]
            names = [_key(kind, user_id) for kind in _OF_USERS] + [_key("page", page) for page in pages]
            commands = [["DEL", name] for name in names]
            commands += [["SREM", _key("ids"), event.event_id] for event in events]
            known = [(["LLEN", _key("events", user_id)], str(len(events)))]
            if (await self._commit_all({user_id: _Change([], known, commands)}))[0]:
                break
        return len(events)

    async def compact(self) -> bool:
        """Lets Redis write its files anew, without what was removed; whether it may be told to, and did."""
        try:
            is_log = (await self._redis.info("persistence"))["aof_enabled"]
            await (self._redis.bgrewriteaof() if is_log else self._redis.bgsave())
            for _ in range(int(COMPACT_SECONDS / 0.1)):
                state = await self._redis.info("persistence")
                if not any(state[name] for name in _WRITING):
                    return str(state["aof_last_bgrewrite_status" if is_log else "rdb_last_bgsave_status"]) == "ok"
                await asyncio.sleep(0.1)
        except RedisError:
            pass
        return False

    async def record(self, exposure: Exposure) -> None:
        """See `Store.record`."""
        page, of_user = _key("page", exposure.impression_id), _key("pages", exposure.user_id)
        values = {"user": exposure.user_id, "after": exposure.after, "at": exposure.at, "page": exposure.page}
        with self._reaching():
            async with self._redis.pipeline() as changes:
                changes.hset(page, mapping=values).expire(page, KEPT_SECONDS)
                changes.sadd(of_user, exposure.impression_id).expire(of_user, KEPT_SECONDS)
                changes.rpush(_key("pages"), exposure.impression_id)
                *_, count = await changes.execute()
            if count > self._max_exposures:
                for old in await self._redis.lpop(_key("pages"), min(2, count - self._max_exposures)) or ():
                    user = await self._redis.hget(_key("page", old.decode()), "user")
                    await self._redis.delete(_key("page", old.decode()))
                    if user:
                        await self._redis.srem(_key("pages", user.decode()), old)

    async def read(self, user_id: str) -> tuple[LiveProfile, set[str]]:
        """See `Store.read`."""
        with self._reaching():
            async with self._redis.pipeline(transaction=False) as reads:
                reads.hmget(_key("profile", user_id), "version", "state")
                found, items = await reads.sunion(_key("seen", user_id), _key("hidden", user_id)).execute()
        return _profile(*found), {item.decode() for item in items}

    async def events(self, user_id: str) -> list[LiveEvent]:
        """See `Store.events`."""
        with self._reaching():
            found = await self._redis.lrange(_key("events", user_id), 0, -1)
        return [_event(user_id, one) for one in found]

    async def scrolled(self, impression_id: str, user_id: str) -> list[bytes]:
        """See `Store.scrolled`."""
        pages = list[bytes]()
        with self._reaching():
            while impression_id:
                user, after, page = await self._redis.hmget(_key("page", impression_id), "user", "after", "page")
                if user is None or user.decode() != user_id:
                    break
                pages.append(page)
                impression_id = after.decode()
        return pages

    async def close(self) -> None:
        """See `Store.close`."""
        await self._redis.aclose(close_connection_pool=True)

    async def _profile(self, user_id: str) -> tuple[LiveProfile, bytes]:
        version, state = await self._redis.hmget(_key("profile", user_id), "version", "state")
        return _profile(version, state), state or b""

    async def _changes(self, events: dict[str, list[LiveEvent]]) -> dict[str, _Change]:
        """What events change, by user."""
        with self._reaching():
            async with self._redis.pipeline(transaction=False) as reads:
                for user, mine in events.items():
                    reads.hmget(_key("profile", user), "version", "state")
                    reads.smismember(_key("ids"), [event.event_id for event in mine])
                found = await reads.execute()
        changes = {}
        for (user, mine), (version, state), old in zip(events.items(), found[::2], found[1::2], strict=True):
            stored = {event.event_id for event, is_old in zip(mine, old, strict=True) if is_old}
            changes[user] = _folded(mine, _profile(version, state), state or b"", stored)
        return changes

    async def _commit_all(self, changes: dict[str, _Change]) -> list[bool]:
        """Whether each change was made: each by itself, as a whole or not at all."""
        with self._reaching():
            async with self._redis.pipeline(transaction=False) as scripts:
                for change in changes.values():
                    job = orjson.dumps({"known": change.known, "commands": change.commands})
                    scripts.eval(_COMMIT, 0, job)
                return [bool(done) for done in await scripts.execute()]

    async def _tries(self) -> Any:
        """Goes on until the caller leaves."""
        for number in range(MAX_TRIES):
            yield number
            await asyncio.sleep(random.uniform(0, PAUSE_SECONDS) * min(number, 20))
        raise StoreBusy(f"others changed the same users {MAX_TRIES} times: come back in a second")

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise StoreError(f"{self._name} did not store it: {error}; start it, or give it room") from error


def _folded(
    events: Sequence[LiveEvent], profile: LiveProfile, state: bytes, stored: set[str] | None = None
) -> _Change:
    """What events of one user change; those that are stored are not counted again (None: they only move)."""
    outcomes, commands, user = list[Outcome](), list[Command](), events[0].user_id if events else ""
    fresh, known_ids = list[str](), set(stored or ())
    for event in events:
        accepted = event.event_id not in known_ids
        if accepted:
            profile = apply(profile, event)
            commands += _commands(event)
            fresh += [] if stored is None else [event.event_id]
            known_ids.add(event.event_id)
        outcomes.append(Outcome(accepted, profile.version))
    if not commands:
        return _Change(outcomes, [], [])
    key = _key("profile", user)
    commands.append(["HSET", key, "version", str(profile.version), "state", profile.encode().decode()])
    commands += [["SADD", _key("ids"), event_id] for event_id in fresh]
    known = [(["HGET", key, "state"], state.decode())]
    return _Change(outcomes, known + [(["SISMEMBER", _key("ids"), event_id], "0") for event_id in fresh], commands)


def _commands(event: LiveEvent) -> list[Command]:
    """The event, and what it says of items that must not be shown."""
    said = {name: value for name, value in vars(event).items() if name != "user_id"}
    commands = [["RPUSH", _key("events", event.user_id), orjson.dumps(said).decode()]]
    if event.item_id and event.type not in NOT_SEEN:
        commands.append(["SADD", _key("seen", event.user_id), event.item_id])
    if event.item_id and event.type in (*HIDING, "undo"):
        commands.append([
            "SREM" if event.type == "undo" else "SADD", _key("hidden", event.user_id), event.item_id
        ])  # fmt: skip
    return commands


def _event(user_id: str, said: bytes) -> LiveEvent:
    values = orjson.loads(said)
    return LiveEvent(**values | {"user_id": user_id, "tags": tuple(values["tags"])})


def _profile(version: bytes | None, state: bytes | None) -> LiveProfile:
    return LiveProfile.decode(int(version), state) if version and state else LiveProfile()


def _key(*parts: str) -> str:
    return PREFIX + ":".join(parts)


def _without_password(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
