"""How late the event loop is: what arrives now waits that long before anybody looks at it.

Whoever asks for a page between two beats beyond what the loop makes of them in about that time is told to come back:
the loop is then never held up for long, however many ask, and answers the others soon.
"""

from __future__ import annotations

import asyncio

BEAT_SECONDS = 0.02
MAX_PAGES_A_BEAT = 24  # Of the lowest rungs, about a millisecond each.
MAX_KEYLESS_A_BEAT = MAX_PAGES_A_BEAT // 2  # Where others have keys: whoever floods leaves them room.


class Pulse:
    """Measures the lag of the event loop that it beats in.

    Attributes:
        lag_seconds: how late the last beat came.
    """

    def __init__(self) -> None:
        self.lag_seconds = 0.0
        self._pages = self._keyless = 0

    def admits(self, is_keyless: bool = False) -> bool:
        """Whether one more page may be begun before the next beat.

        Args:
            is_keyless: they have no key where others need one.
        """
        self._keyless += is_keyless
        if is_keyless and self._keyless > MAX_KEYLESS_A_BEAT:
            return False
        self._pages += 1
        return self._pages <= MAX_PAGES_A_BEAT

    async def beat(self) -> None:
        """Measures, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT_SECONDS
            await asyncio.sleep(BEAT_SECONDS)
            self.lag_seconds = loop.time() - due
            self._pages = self._keyless = 0
