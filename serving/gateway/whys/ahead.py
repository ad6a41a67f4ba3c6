"""Reasons made ahead: of the first rows of the newest pages, while the gateway has nothing else to do."""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from homefeed.serving.gateway.pulse import BEAT_SECONDS, Pulse
from homefeed.serving.policy.errors import NotFound
from homefeed.serving.profiles import Exposure

MAX_PAGES = 16  # That wait: of older ones, whoever asks waits for the models.
MAX_KEPT = 1_000  # Cards whose reasons are kept; some 3 kB each.
QUIET_BEATS = 5  # A tenth of a second without a page.
_logger = logging.getLogger(__name__)

Make = Callable[[Exposure, Sequence[str]], Awaitable[None]]
"""Makes and keeps the reasons of some cards of a page, with a turn before whatever costs time."""


class Key(NamedTuple):
    """A card, and what else its reasons depend on.

    Attributes:
        impression_id, item_id: the card.
        mark: of catalogue, rules and models.
    """

    impression_id: str
    item_id: str
    mark: tuple[Any, ...]


class Ahead:
    """Keeps answers that nobody has asked for yet.

    Args:
        pulse: how late the event loop is.
        num_cards: of a first row; 0: nothing is made ahead.
    """

    def __init__(self, pulse: Pulse, num_cards: int):
        self._pulse, self._num_cards = pulse, num_cards
        self._waiting: collections.deque[tuple[Exposure, Sequence[str]]] = collections.deque(maxlen=MAX_PAGES)
        self._come = asyncio.Event()
        self._kept: collections.OrderedDict[Key, tuple[str, dict[str, Any]]] = collections.OrderedDict()
        self._user = ""  # Whose reasons are being made.

    def served(self, exposure: Exposure, items: Sequence[str]) -> None:
        """A page was made, with these items in its first row."""
        if self._num_cards and items:
            self._waiting.append((exposure, items[: self._num_cards]))
            self._come.set()

    def find(self, key: Key) -> dict[str, Any] | None:
        """The answer for a card, if it was made."""
        found = self._kept.get(key)
        return found[1] if found else None

    def keep(self, key: Key, user: str, answer: dict[str, Any]) -> None:
        """An answer was made; of who was forgotten meanwhile, it is dropped."""
        if user == self._user:
            self._kept[key] = user, answer
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    def forget(self, user: str) -> None:
        """Drops what is kept of a user, and what waits."""
        for key in [key for key, (of, _) in self._kept.items() if of == user]:
            del self._kept[key]
        still = [waiting for waiting in self._waiting if waiting[0].user_id != user]
        self._waiting.clear()
        self._waiting.extend(still)
        self._user = "" if self._user == user else self._user

    async def turn(self) -> None:
        """Waits until no page was asked for in a while."""
        while self._pulse.quiet_beats < QUIET_BEATS:
            await asyncio.sleep(BEAT_SECONDS)

    async def work(self, make: Make) -> None:
        """Makes reasons for ever, of the newest page first."""
        while True:
            await self._come.wait()
            await self.turn()
            if not self._waiting:
                self._come.clear()
                continue
            exposure, items = self._waiting.pop()
            self._user = exposure.user_id
            try:
                await make(exposure, items)
            except NotFound:
                pass  # What the page was made of has left the store.
            except Exception:  # Nobody asked: it is told, and whoever asks will see it.
                _logger.exception("reasons could not be made ahead of page %s", exposure.impression_id)
