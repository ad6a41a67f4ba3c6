"""Where live profiles are: in a file beside the models, or in Redis for gateways on several machines."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from typing import Protocol, TypeVar

from homefeed.serving.profiles import outbox_table
from homefeed.serving.profiles.exposure import Exposure
from homefeed.serving.profiles.live import Happened, LiveEvent, LiveProfile
from homefeed.serving.profiles.outbox import WAIT_SECONDS, Entry, Mark, Oldest, Outbox
from homefeed.serving.profiles.sealing import Base
from homefeed.serving.profiles.store import LiveStore
from homefeed.serving.profiles.transaction import Outcome, Stop

Observe = Callable[[int, float], None]
_T = TypeVar("_T")


class Store(Protocol):
    """What pages and events need of a store. What was awaited is stored, and all gateways on the store see it.

    Every method may raise StoreError: the store is out of reach, or busy.
    """

    async def begin(self) -> None:
        """A gateway starts on it: from now on a log is told everything, or none is."""

    async def secret(self) -> bytes:
        """The same for all who open this store."""

    async def append(self, events: Sequence[LiveEvent]) -> list[Outcome]:
        """Stores events, each once by its id; of one user, in this order."""

    async def merge(self, guest: str, user_id: str) -> int:
        """Gives a user what a guest did, as if it arrived now; gives the number of events, 0 the second time."""

    async def forget(self, user_id: str) -> int:
        """Removes all that is known of a user; gives the number of events."""

    async def record(self, exposure: Exposure) -> bool:
        """Stores a page that was served; False: so much waits for the log that it is not told of it."""

    async def assigned(self, user_id: str) -> dict[str, str]:
        """Experiment → arm, of those that the user's recorded pages were the first to give them."""

    async def stop(self, stop: Stop) -> None:
        """Records that an experiment was stopped."""

    async def stops(self) -> list[Stop]:
        """The experiments that were stopped."""

    async def read(self, user_id: str) -> tuple[LiveProfile, set[str]]:
        """The user's profile, and the items that must not be shown to them again, as long as the log is kept."""

    async def profiles(self, user_ids: Sequence[str]) -> list[LiveProfile]:
        """[num_users] profiles, in the order of the users."""

    async def events(self, user_id: str) -> list[LiveEvent]:
        """A user's events, in the order of arrival."""

    async def only_seen(self, user_id: str) -> list[tuple[str, float]]:
        """See `live.only_seen`, of the events that the store has."""

    async def scrolled(self, impression_id: str, user_id: str) -> list[bytes]:
        """The pages that a user scrolled through up to this one, newest first; empty: they had no such page."""

    async def exposure(self, impression_id: str) -> Exposure | None:
        """A page that was served; None: there is none, or no longer."""

    async def pages(self, user_id: str, limit: int, before: int | None = None) -> list[Exposure]:
        """The pages that a user was served last, or last before a time (Unix milliseconds), newest first."""

    async def base(self, user_id: str) -> Base:
        """What a user's events that have left had made: the profile is this one, changed by `events`."""

    def happened(self, mark: str) -> AsyncIterator[tuple[str, list[Happened]]]:
        """What was done with items since a mark, by anybody, in the order of arrival; each event is told once.

        What came a day late or later is not told: it is not of now.

        Args:
            mark: as it was told last; "": from the beginning of the log.

        Yields:
            Marks, and what happened up to each; nothing, where nothing did.
        """

    def outbox(self) -> Outbox:
        """What waits for the log, of a store that was opened with `logs`."""

    async def close(self) -> None:
        """Writes what waits."""


class FileStore:
    """`live.sqlite` in an event loop: one thread writes, and reading is quicker than asking a thread to."""

    def __init__(self, path: pathlib.Path, observe: Observe, max_exposures: int, logs: bool = False):
        self._live = LiveStore(path, observe, max_exposures, logs)
        self._wakes = asyncio.Event()

    def outbox(self) -> Outbox:
        """See `Store.outbox`."""
        return FileOutbox(self._live, self._wakes)

    async def begin(self) -> None:
        """See `Store.begin`; what no span has yet is told to a log that is new."""
        await self._done(self._live.begin())

    async def secret(self) -> bytes:
        """See `Store.secret`."""
        return self._live.secret

    async def append(self, events: Sequence[LiveEvent]) -> list[Outcome]:
        """See `Store.append`; all of the events are stored, or none."""
        return await self._done(self._live.append(events))

    async def merge(self, guest: str, user_id: str) -> int:
        """See `Store.merge`."""
        return await self._done(self._live.merge(guest, user_id))

    async def forget(self, user_id: str) -> int:
        """See `Store.forget`."""
        return await self._done(self._live.forget(user_id))

    async def record(self, exposure: Exposure) -> bool:
        """See `Store.record`."""
        return await self._done(self._live.record(exposure))

    async def assigned(self, user_id: str) -> dict[str, str]:
        """See `Store.assigned`."""
        return self._live.assigned(user_id)

    async def stop(self, stop: Stop) -> None:
        """See `Store.stop`."""
        await asyncio.wrap_future(self._live.stop(stop))

    async def stops(self) -> list[Stop]:
        """See `Store.stops`."""
        return self._live.stops()

    async def read(self, user_id: str) -> tuple[LiveProfile, set[str]]:
        """See `Store.read`."""
        return self._live.profile(user_id), self._live.excluded(user_id)

    async def profiles(self, user_ids: Sequence[str]) -> list[LiveProfile]:
        """See `Store.profiles`."""
        return [self._live.profile(user_id) for user_id in user_ids]

    async def events(self, user_id: str) -> list[LiveEvent]:
        """See `Store.events`."""
        return list(self._live.events(user_id))

    async def only_seen(self, user_id: str) -> list[tuple[str, float]]:
        """See `Store.only_seen`."""
        return self._live.only_seen(user_id)

    async def scrolled(self, impression_id: str, user_id: str) -> list[bytes]:
        """See `Store.scrolled`."""
        return self._live.scrolled(impression_id, user_id)

    async def exposure(self, impression_id: str) -> Exposure | None:
        """See `Store.exposure`."""
        return self._live.exposure(impression_id)

    async def pages(self, user_id: str, limit: int, before: int | None = None) -> list[Exposure]:
        """See `Store.pages`."""
        return self._live.pages(user_id, limit, before)

    async def base(self, user_id: str) -> Base:
        """See `Store.base`."""
        return self._live.base(user_id)

    async def happened(self, mark: str) -> AsyncIterator[tuple[str, list[Happened]]]:
        """See `Store.happened`."""
        if not mark:
            batches = self._live.log()
            while found := await asyncio.to_thread(next, batches, None):
                mark = str(found[0])
                yield mark, found[1]
        while (found := self._live.happened(int(mark)))[0] != int(mark):
            mark = str(found[0])
            yield mark, found[1]

    async def close(self) -> None:
        """See `Store.close`."""
        await asyncio.to_thread(self._live.close)

    async def _done(self, change: Future[_T]) -> _T:
        done = await asyncio.wrap_future(change)
        self._wakes.set()  # There may be something to send.
        return done


class FileOutbox:
    """The outbox of `live.sqlite`, which one process writes and sends."""

    def __init__(self, live: LiveStore, wakes: asyncio.Event):
        self._live, self._wakes = live, wakes

    async def is_mine(self) -> bool:
        """See `Outbox.is_mine`: nobody else has the file."""
        return True

    async def waiting(self) -> list[Entry]:
        """See `Outbox.waiting`."""
        self._wakes.clear()
        found = self._live.look(outbox_table.read_waiting)
        if not found:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wakes.wait(), WAIT_SECONDS)
        return found

    async def sent(self, mark: Mark) -> None:
        """See `Outbox.sent`."""
        await asyncio.wrap_future(self._live.sent(mark))

    async def newest(self) -> Mark:
        """See `Outbox.newest`."""
        return self._live.look(outbox_table.read_newest)

    async def oldest(self) -> Oldest | None:
        """See `Outbox.oldest`."""
        return self._live.look(outbox_table.read_oldest)


def open_store(url: str, path: pathlib.Path, observe: Observe, max_exposures: int, logs: bool = False) -> Store:
    """The store of a URL, `redis://…`; "": the file.

    Args:
        url: of the store.
        path: of the file.
        observe: is told of each commit: number of events and seconds.
        max_exposures: pages that are kept.
        logs: whether what is stored waits in an outbox for the log of all gateways.
    """
    if not url:
        return FileStore(path, observe, max_exposures, logs)
    from homefeed.serving.profiles.redis_store import RedisStore  # It takes a third of a second.

    return RedisStore(url, observe, max_exposures, logs)
