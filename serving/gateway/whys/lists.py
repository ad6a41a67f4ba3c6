"""Lists of a model for one request, whole and without parts: each is asked for once, whichever card it is for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from homefeed.models.faithfulness.removal import Part, without
from homefeed.models.requests import Request
from homefeed.serving.gateway.models import Found, Models, Unavailable

MAX_SECONDS = 1.0  # For all calls of a card that somebody waits for; of others, for each call.
REQUESTS_BETWEEN_TURNS = 8  # A page that comes meanwhile waits for so many lists, about as long as for another page.

Turn = Callable[[], Awaitable[None]]
"""Waits until there is nothing else to do."""


class Lists:
    """Asks a model what it finds without parts of a request.

    Args:
        models: under the label that made the list.
        model: of these.
        request: as it was told then.
        k: places of a list.
        turn: is awaited before each of many small calls; None: somebody waits, and one call asks for all.
    """

    def __init__(self, models: Models, model: str, request: Request, k: int, turn: Turn | None = None):
        self._models, self._model, self._request, self._k = models, model, request, k
        self._turn = turn
        self._known: dict[frozenset[Part], Found] = {}
        self._until = 0.0

    def begin(self) -> None:
        """There is as much time for a card as for any other."""
        self._until = time.monotonic() + MAX_SECONDS

    async def turn(self) -> None:
        """Pages come first."""
        await (self._turn() if self._turn else asyncio.sleep(0))

    async def without(self, gone: Sequence[Sequence[Part]]) -> list[Found]:
        """The lists without each of some sets of parts; what is known of another card is not asked for again.

        Raises:
            Unavailable: not in time.
        """
        keys = [frozenset(some) for some in gone]
        new = list(dict.fromkeys(key for key in keys if key not in self._known))
        at_once = REQUESTS_BETWEEN_TURNS if self._turn else max(len(new), 1)
        for start in range(0, len(new), at_once):
            await self._ask(new[start : start + at_once])
        return [self._known[key] for key in keys]

    async def _ask(self, keys: Sequence[frozenset[Part]]) -> None:
        if self._turn:
            await self._turn()
            self.begin()
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise Unavailable("no time is left")
        requests = [without(self._request, list(key)) for key in keys]
        answers = await self._models.find_all(self._model, requests, self._k, seconds)
        self._known |= dict(zip(keys, answers, strict=True))
