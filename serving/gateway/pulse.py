"""How late the event loop is: what arrives now waits that long before anybody looks at it."""

from __future__ import annotations

import asyncio

BEAT_SECONDS = 0.02


class Pulse:
    """Measures the lag of the event loop that it beats in.

    Attributes:
        lag_seconds: how late the last beat came.
    """

    def __init__(self) -> None:
        self.lag_seconds = 0.0

    async def beat(self) -> None:
        """Measures, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT_SECONDS
            await asyncio.sleep(BEAT_SECONDS)
            self.lag_seconds = loop.time() - due
