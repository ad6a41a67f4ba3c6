"""The store of live profiles in Redis, for gateways on several machines.

Profiles are made here, in Python, and written on the condition that nothing has changed since they were read: events,
their dedupe keys and the profile of a user are one script, which Redis runs as a whole. Who finds that somebody else
was quicker reads again.

What is under which key, `redis_commands` says.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import secrets
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import orjson
import redis.asyncio
from redis.exceptions import RedisError

from homefeed.serving.profiles.exposure import Exposure
from homefeed.serving.profiles.live import NEWEST_EVENTS, Happened, LiveEvent, LiveProfile, only_seen
from homefeed.serving.profiles.outbox import Outbox, forget_record, page_record
from homefeed.serving.profiles.redis_commands import COMMIT, Change, folded, key, read_event, read_profile
from homefeed.serving.profiles.redis_outbox import LOGGING, OUTBOX, RedisOutbox, has_room, put, told, waiting_of
from homefeed.serving.profiles.sealing import Base
from homefeed.serving.profiles.store import HAPPENED_BATCH, MAX_EXPOSURES, StoreBusy, StoreError
from homefeed.serving.profiles.transaction import KEPT_SECONDS, Outcome, Stop

TIMEOUT_SECONDS = 5.0
MAX_CONNECTIONS = 32
MAX_TRIES = 100  # Before somebody is told to come back, where many change one user at the same time.
PAUSE_SECONDS = 0.002
COMPACT_SECONDS = 60.0
_WRITING = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress")
_OF_USERS = ("profile", "events", "seen", "hidden", "pages", "assigned")


class RedisStore:
    """See `stores.Store`. Events of a call are stored as a whole for each user.

    What is durable is what Redis is told to keep: `appendonly yes` and `appendfsync always` for what SQLite promises.

    Args:
        url: `redis://HOST:PORT/NUMBER`, `rediss://` or `unix://`.
        observe: is told of each commit: number of events and seconds.
        max_exposures: pages that are kept.
        logs: whether what is stored waits in an outbox for the log of all gateways.

    Raises:
        StoreError: no such URL.
    """

    def __init__(
        self,
        url: str,
        observe: Callable[[int, float], None] = lambda events, seconds: None,
        max_exposures: int = MAX_EXPOSURES,
        logs: bool = False,
    ):
        self._name = _without_password(url)
        self._observe, self._max_exposures, self._logs = observe, max_exposures, logs
        try:
            pool = redis.asyncio.BlockingConnectionPool.from_url(
                url, max_connections=MAX_CONNECTIONS, socket_timeout=TIMEOUT_SECONDS, timeout=TIMEOUT_SECONDS
            )
        except ValueError as error:
            raise StoreError(f"{self._name} is no address of a store: {error}") from error
        self._redis: Any = redis.asyncio.Redis(connection_pool=pool)

    def outbox(self) -> Outbox:
        """See `Store.outbox`."""
        return RedisOutbox(self._redis, self._reaching)

    async def begin(self) -> None:
        """See `Store.begin`; a log that is new is not told what was before, of which no span could be written."""
        with self._reaching():
            await (self._redis.set(LOGGING, "1") if self._logs else self._redis.delete(LOGGING))

    async def is_logged(self) -> bool:
        """Whether the last start of a gateway was with a log."""
        with self._reaching():
            return bool(await self._redis.exists(LOGGING))

    async def secret(self) -> bytes:
        """See `Store.secret`."""
        with self._reaching():
            await self._redis.set(key("secret"), secrets.token_bytes(32), nx=True)
            found: bytes = await self._redis.get(key("secret"))
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
                pages = [page.decode() for page in await self._redis.smembers(key("pages", guest))]
                given = await self._assigned(guest)
                profile, state = await self._profile(user_id)
            change = folded(moved, profile, state)
            known = [*change.known, (["LLEN", key("events", guest)], str(len(moved)))]
            commands = [["DEL", *(key(kind, guest) for kind in _OF_USERS)], *change.commands]
            commands += [["HSET", key("page", page), "user", user_id] for page in pages]
            commands += [["SADD", key("pages", user_id), page] for page in pages]
            with self._reaching():
                tells = self._logs or bool(await waiting_of(self._redis, guest))
            if tells:
                commands += told(zip(moved, change.outcomes, strict=True), guest)
                commands += [put(page_record(page, guest), user_id) for page in await self._pages(pages, user_id)]
            commands += [["HSETNX", key("assigned", user_id), *one] for one in given.items()]
            if (await self._commit_all({user_id: Change([], known, commands)}))[0]:
                break
        return len(moved)

    async def forget(self, user_id: str, tells: bool | None = None) -> int:
        """See `Store.forget`; `tells`: whether a log is told, None: if there is one."""
        async for _ in self._tries():
            events = await self.events(user_id)
            with self._reaching():
                pages = [page.decode() for page in await self._redis.smembers(key("pages", user_id))]
            names = [key(kind, user_id) for kind in _OF_USERS] + [key("page", page) for page in pages]
            commands = [["DEL", name] for name in names]
            commands += [["SREM", key("ids"), event.event_id] for event in events]
            if self._logs if tells is None else tells:
                commands.append(put(forget_record(user_id), user_id))
            else:  # Nobody sends what waits there.
                with self._reaching():
                    commands += [["XDEL", OUTBOX, name] for name in await waiting_of(self._redis, user_id)]
            known = [(["LLEN", key("events", user_id)], str(len(events)))]
            if (await self._commit_all({user_id: Change([], known, commands)}))[0]:
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

    async def record(self, exposure: Exposure) -> bool:
        """See `Store.record`."""
        page, of_user = key("page", exposure.impression_id), key("pages", exposure.user_id)
        values = {"user": exposure.user_id, "after": exposure.after, "at": exposure.at, "page": exposure.page}
        with self._reaching():
            is_told = not self._logs or await has_room(self._redis)
            async with self._redis.pipeline() as changes:
                changes.hset(page, mapping=values).expire(page, KEPT_SECONDS)
                changes.sadd(of_user, exposure.impression_id).expire(of_user, KEPT_SECONDS)
                if exposure.assigned:
                    changes.hset(key("assigned", exposure.user_id), mapping=dict(exposure.assigned))
                if self._logs and is_told:
                    changes.execute_command(*put(page_record(exposure), exposure.user_id))
                changes.rpush(key("pages"), exposure.impression_id)
                *_, count = await changes.execute()
            if count > self._max_exposures:
                for old in await self._redis.lpop(key("pages"), min(2, count - self._max_exposures)) or ():
                    user = await self._redis.hget(key("page", old.decode()), "user")
                    await self._redis.delete(key("page", old.decode()))
                    if user:
                        await self._redis.srem(key("pages", user.decode()), old)
        return is_told

    async def assigned(self, user_id: str) -> dict[str, str]:
        """See `Store.assigned`."""
        with self._reaching():
            return await self._assigned(user_id)

    async def stop(self, stop: Stop) -> None:
        """See `Store.stop`."""
        with self._reaching():
            await self._redis.hset(key("stops"), stop.experiment, orjson.dumps(stop[1:]))

    async def stops(self) -> list[Stop]:
        """See `Store.stops`."""
        with self._reaching():
            found = await self._redis.hgetall(key("stops"))
        return [Stop(name.decode(), *orjson.loads(said)) for name, said in found.items()]

    async def read(self, user_id: str) -> tuple[LiveProfile, set[str]]:
        """See `Store.read`."""
        with self._reaching():
            async with self._redis.pipeline(transaction=False) as reads:
                reads.hmget(key("profile", user_id), "version", "state")
                found, items = await reads.sunion(key("seen", user_id), key("hidden", user_id)).execute()
        return read_profile(*found), {item.decode() for item in items}

    async def profiles(self, user_ids: Sequence[str]) -> list[LiveProfile]:
        """See `Store.profiles`."""
        with self._reaching():
            async with self._redis.pipeline(transaction=False) as reads:
                for user_id in user_ids:
                    reads.hmget(key("profile", user_id), "version", "state")
                found = await reads.execute()
        return [read_profile(*one) for one in found]

    async def events(self, user_id: str) -> list[LiveEvent]:
        """See `Store.events`."""
        with self._reaching():
            found = await self._redis.lrange(key("events", user_id), 0, -1)
        return [read_event(user_id, one) for one in found]

    async def only_seen(self, user_id: str) -> list[tuple[str, float]]:
        """See `Store.only_seen`."""
        with self._reaching():
            found = await self._redis.lrange(key("events", user_id), -NEWEST_EVENTS, -1)
        said = map(orjson.loads, found)  # Whole events would take four times as long, with every page.
        return only_seen([(event["item_id"], event["type"], event["at"]) for event in said])

    async def scrolled(self, impression_id: str, user_id: str) -> list[bytes]:
        """See `Store.scrolled`."""
        pages = list[bytes]()
        with self._reaching():
            while impression_id:
                user, after, page = await self._redis.hmget(key("page", impression_id), "user", "after", "page")
                if user is None or user.decode() != user_id:
                    break
                pages.append(page)
                impression_id = after.decode()
        return pages

    async def exposure(self, impression_id: str) -> Exposure | None:
        """See `Store.exposure`."""
        with self._reaching():
            user, after, at, page = await self._redis.hmget(key("page", impression_id), "user", "after", "at", "page")
        return Exposure(impression_id, user.decode(), after.decode(), int(at), page) if user is not None else None

    async def pages(self, user_id: str, limit: int, before: int | None = None) -> list[Exposure]:
        """See `Store.pages`."""
        with self._reaching():
            names = await self._redis.smembers(key("pages", user_id))
        found = await asyncio.gather(*(self.exposure(name.decode()) for name in names))
        wanted = [page for page in found if page and (before is None or page.at < before)]
        return sorted(wanted, key=lambda page: (page.at, page.impression_id), reverse=True)[:limit]

    async def base(self, user_id: str) -> Base:
        """See `Store.base`: nothing leaves Redis."""
        return Base(LiveProfile())

    async def happened(self, mark: str) -> AsyncIterator[tuple[str, list[Happened]]]:
        """See `Store.happened`."""
        while True:
            with self._reaching():
                entries = await self._redis.xrange(key("happened"), f"({mark or '0-0'}", "+", count=HAPPENED_BATCH)
            if not entries:
                return
            mark = entries[-1][0].decode()
            yield mark, [Happened(values[b"item"].decode(), int(values[b"at"])) for _, values in entries]

    async def close(self) -> None:
        """See `Store.close`."""
        await self._redis.aclose(close_connection_pool=True)

    async def _pages(self, names: Sequence[str], user_id: str) -> list[Exposure]:
        """Pages, as of a user; those that are no longer kept are left out."""
        found = [await self._redis.hmget(key("page", name), "after", "at", "page") for name in names]
        return [
            Exposure(name, user_id, after.decode(), int(at), page)
            for name, (after, at, page) in zip(names, found, strict=True)
            if page is not None
        ]

    async def _assigned(self, user_id: str) -> dict[str, str]:
        found = await self._redis.hgetall(key("assigned", user_id))
        return {name.decode(): arm.decode() for name, arm in found.items()}

    async def _profile(self, user_id: str) -> tuple[LiveProfile, bytes]:
        version, state = await self._redis.hmget(key("profile", user_id), "version", "state")
        return read_profile(version, state), state or b""

    async def _changes(self, events: dict[str, list[LiveEvent]]) -> dict[str, Change]:
        """What events change, by user."""
        with self._reaching():
            async with self._redis.pipeline(transaction=False) as reads:
                for user, mine in events.items():
                    reads.hmget(key("profile", user), "version", "state")
                    reads.smismember(key("ids"), [event.event_id for event in mine])
                    reads.smismember(key("seen", user), [event.item_id for event in mine])
                found = await reads.execute()
        changes = {}
        for (user, mine), (version, state), old, seen in zip(
            events.items(), found[::3], found[1::3], found[2::3], strict=True
        ):
            stored = _there([event.event_id for event in mine], old)
            had = _there([event.item_id for event in mine], seen)
            change = folded(mine, read_profile(version, state), state or b"", stored, had)
            if self._logs:
                change.commands.extend(told(zip(mine, change.outcomes, strict=True)))
            changes[user] = change
        return changes

    async def _commit_all(self, changes: dict[str, Change]) -> list[bool]:
        """Whether each change was made: each by itself, as a whole or not at all."""
        with self._reaching():
            async with self._redis.pipeline(transaction=False) as scripts:
                for change in changes.values():
                    job = orjson.dumps({"known": change.known, "commands": change.commands})
                    scripts.eval(COMMIT, 0, job)
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


def _there(values: Sequence[str], flags: Sequence[int]) -> set[str]:
    return {value for value, flag in zip(values, flags, strict=True) if flag}


def _without_password(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
