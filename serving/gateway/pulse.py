"""How late the event loop is: what arrives now waits that long before anybody looks at it.

Whoever asks for a page between two beats beyond what the loop makes of them in about that time is told to come back:
the loop is then never held up for long, however many ask, and answers the others soon. How many that are, late beats
tell: each takes a third of the room, and each that comes in time gives back room for one.
"""

from __future__ import annotations

import asyncio

BEAT_SECONDS = 0.02
MAX_PAGES_A_BEAT = 24
MIN_PAGES_A_BEAT = 4  # 200 pages a second at least, if they are all that the loop does.
LATE_SHARE = 2 / 3  # Of the room, that a late beat leaves.
KEYLESS_SHARE = 1 / 2  # Of the room, where others have keys: whoever floods leaves them the rest.


class Pulse:
    """Measures the lag of the event loop that it beats in.

    Attributes:
        lag_seconds: how late the last beat came.
        quiet_beats: newest beats that came in time, and between which no page was begun.
    """

    def __init__(self) -> None:
        self.lag_seconds = 0.0
        self.quiet_beats = 0
        self._pages = self._keyless = 0
        self._room = float(MAX_PAGES_A_BEAT)

    def admits(self, is_keyless: bool = False) -> bool:
        """Whether one more page may be begun before the next beat.

        Args:
            is_keyless: they have no key where others need one.
        """
        self.quiet_beats = 0
        self._keyless += is_keyless
        if is_keyless and self._keyless > self._room * KEYLESS_SHARE:
            return False
        self._pages += 1
        return self._pages <= self._room

    async def beat(self) -> None:
        """Measures, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT_SECONDS
            await asyncio.sleep(BEAT_SECONDS)
            self.lag_seconds = loop.time() - due
            is_late = self.lag_seconds > BEAT_SECONDS
            self._room = max(MIN_PAGES_A_BEAT, self._room * LATE_SHARE) if is_late else self._room + 1
            self._room = min(MAX_PAGES_A_BEAT, self._room)
            self.quiet_beats = 0 if is_late or self._pages else self.quiet_beats + 1
            self._pages = self._keyless = 0
