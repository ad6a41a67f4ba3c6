"""Where live profiles are: in a file beside the models, or in Redis for gateways on several machines."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from homefeed.serving.profiles.live import Happened, LiveEvent, LiveProfile
from homefeed.serving.profiles.sealing import Base
from homefeed.serving.profiles.store import LiveStore
from homefeed.serving.profiles.transaction import Exposure, Outcome, Stop

Observe = Callable[[int, float], None]


class Store(Protocol):
    """What pages and events need of a store. What was awaited is stored, and all gateways on the store see it.

    Every method may raise StoreError: the store is out of reach, or busy.
    """

    async def secret(self) -> bytes:
        """The same for all who open this store."""

    async def append(self, events: Sequence[LiveEvent]) -> list[Outcome]:
        """Stores events, each once by its id; of one user, in this order."""

    async def merge(self, guest: str, user_id: str) -> int:
        """Gives a user what a guest did, as if it arrived now; gives the number of events, 0 the second time."""

    async def forget(self, user_id: str) -> int:
        """Removes all that is known of a user; gives the number of events."""

    async def record(self, exposure: Exposure) -> None:
        """Stores a page that was served."""

    async def assigned(self, user_id: str) -> dict[str, str]:
        """Experiment → arm, of those that the user's recorded pages were the first to give them."""

    async def stop(self, stop: Stop) -> None:
        """Records that an experiment was stopped."""

    async def stops(self) -> list[Stop]:
        """The experiments that were stopped."""

    async def read(self, user_id: str) -> tuple[LiveProfile, set[str]]:
        """The user's profile, and the items that must not be shown to them again, as long as the log is kept."""

    async def events(self, user_id: str) -> list[LiveEvent]:
        """A user's events, in the order of arrival."""

    async def scrolled(self, impression_id: str, user_id: str) -> list[bytes]:
        """The pages that a user scrolled through up to this one, newest first; empty: they had no such page."""

    async def exposure(self, impression_id: str) -> Exposure | None:
        """A page that was served; None: there is none, or no longer."""

    async def pages(self, user_id: str, limit: int) -> list[Exposure]:
        """The pages that a user was served last, newest first."""

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

    async def close(self) -> None:
        """Writes what waits."""


class FileStore:
    """`live.sqlite` in an event loop: one thread writes, and reading is quicker than asking a thread to."""

    def __init__(self, path: pathlib.Path, observe: Observe, max_exposures: int):
        self._live = LiveStore(path, observe, max_exposures)

    async def secret(self) -> bytes:
        """See `Store.secret`."""
        return self._live.secret

    async def append(self, events: Sequence[LiveEvent]) -> list[Outcome]:
        """See `Store.append`; all of the events are stored, or none."""
        return await asyncio.wrap_future(self._live.append(events))

    async def merge(self, guest: str, user_id: str) -> int:
        """See `Store.merge`."""
        return await asyncio.wrap_future(self._live.merge(guest, user_id))

    async def forget(self, user_id: str) -> int:
        """See `Store.forget`."""
        return await asyncio.wrap_future(self._live.forget(user_id))

    async def record(self, exposure: Exposure) -> None:
        """See `Store.record`."""
        await asyncio.wrap_future(self._live.record(exposure))

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

    async def events(self, user_id: str) -> list[LiveEvent]:
        """See `Store.events`."""
        return list(self._live.events(user_id))

    async def scrolled(self, impression_id: str, user_id: str) -> list[bytes]:
        """See `Store.scrolled`."""
        return self._live.scrolled(impression_id, user_id)

    async def exposure(self, impression_id: str) -> Exposure | None:
        """See `Store.exposure`."""
        return self._live.exposure(impression_id)

    async def pages(self, user_id: str, limit: int) -> list[Exposure]:
        """See `Store.pages`."""
        return self._live.pages(user_id, limit)

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


def open_store(url: str, path: pathlib.Path, observe: Observe, max_exposures: int) -> Store:
    """The store of a URL, `redis://…`; "": the file."""
    if not url:
        return FileStore(path, observe, max_exposures)
    from homefeed.serving.profiles.redis_store import RedisStore  # It takes a third of a second.

    return RedisStore(url, observe, max_exposures)
