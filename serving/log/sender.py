"""From the outbox of a store to the log, and to whoever waits until what they stored is there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.log.kafka import AwayError, Log
from homefeed.serving.profiles.outbox import Mark, Oldest, Outbox
from homefeed.serving.profiles.store import StoreError

PATIENCE_SECONDS = 5.0  # A caller waits so long for the log, and so old is the oldest entry of a log that is away.
LOOK_SECONDS = 0.005  # Between two looks at an outbox that another gateway sends, while somebody waits.
REST_SECONDS = 0.2
_logger = logging.getLogger(__name__)


class Sender:
    """Sends what waits in an outbox, in its order, again and again until the log has it.

    Of many gateways on one store one sends at a time, and all wait for it. Two that both think that it is their turn
    send some entries twice; each begins with the oldest, so that the first copies are in order all the same.

    Args:
        outbox: of the store.
        log: where it goes.
        observe: is told how many entries wait and the age of the oldest, seconds.
    """

    def __init__(self, outbox: Outbox, log: Log, observe: Callable[[int, float], None]):
        self._outbox, self._log, self._observe = outbox, log, observe
        self._waiters = dict[asyncio.Future[None], Mark]()
        self._looks = asyncio.Event()
        self._oldest: Oldest | None = None
        self._is_mine = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to send; a log that is away is waited for.

        Raises:
            LogError: the log refuses, or has no such topic.
            StoreError: the store is out of reach.
        """
        try:
            await asyncio.to_thread(self._log.check)
        except AwayError as error:
            _logger.warning("%s; pages are served, events are not taken until then", error)
        await self._look()
        self._tasks = [asyncio.create_task(_for_ever(one)) for one in (self._send, self._watch)]

    def require_room(self) -> None:
        """Refuses an event while the log is away, before anything is stored: an outbox must not grow for ever.

        Raises:
            StoreError: what was stored a while ago is still not in the log.
        """
        if self._oldest and (age := _age(self._oldest)) > PATIENCE_SECONDS:
            raise StoreError(f"nothing was stored: the log has confirmed nothing for {age:.0f} s; come back later")

    async def settled(self) -> None:
        """Returns when the log has all that was stored before.

        Raises:
            StoreError: it does not for a long time; what was stored stays, and is sent when it can be.
        """
        mark, waiter = await self._outbox.newest(), asyncio.get_running_loop().create_future()
        self._waiters[waiter] = mark
        self._looks.set()
        try:
            await asyncio.wait_for(waiter, PATIENCE_SECONDS)
        except TimeoutError as error:
            reason = f"it is stored here, and the log has not confirmed it within {PATIENCE_SECONDS:g} s"
            raise StoreError(f"{reason}: send it again, under the same ids") from error
        finally:
            self._waiters.pop(waiter, None)

    async def stop(self) -> None:
        """Gives the log a moment for the rest, which otherwise waits for the next start."""
        with contextlib.suppress(HomefeedError):
            await self.settled()
        self._log.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self) -> None:
        self._is_mine = await self._outbox.is_mine()
        if not self._is_mine:
            await asyncio.sleep(REST_SECONDS)
            return
        if entries := await self._outbox.waiting():
            await asyncio.to_thread(self._log.send, entries)
            await self._outbox.sent(entries[-1].mark)
            self._looks.set()

    async def _watch(self) -> None:
        self._looks.clear()
        await self._look()
        with contextlib.suppress(TimeoutError):
            is_soon = self._waiters and not self._is_mine
            await asyncio.wait_for(self._looks.wait(), LOOK_SECONDS if is_soon else REST_SECONDS)

    async def _look(self) -> None:
        """Lets those go whose entries have left; who comes meanwhile is not known to this look."""
        waiters = list(self._waiters.items())
        self._oldest = oldest = await self._outbox.oldest()
        self._observe(oldest.num_waiting if oldest else 0, _age(oldest) if oldest else 0.0)
        for waiter, mark in waiters:
            if (oldest is None or mark < oldest.mark) and not waiter.done():
                waiter.set_result(None)


def _age(oldest: Oldest) -> float:
    return max(0.0, time.time() - oldest.at / 1000)


async def _for_ever(step: Callable[[], object]) -> None:
    said = ""
    while True:
        try:
            await step()  # type: ignore[misc]
            said = ""
        except HomefeedError as error:  # The store or the log is away: it is waited for.
            if str(error) != said:
                _logger.warning("%s", said := str(error))
            await asyncio.sleep(1.0)
