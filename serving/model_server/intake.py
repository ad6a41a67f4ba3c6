"""How much may be on its way into the server at the same time, over both protocols.

A request costs little before it is whole, and its size bounds what it costs afterwards. So whoever sends slowly is
let wait, up to a time and a number, and never holds a thread; whole requests are taken up to a number of bytes.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from homefeed.serving.model_server.errors import Code, StatusError

# From the first byte of a request to its last.
RECEIVE_SECONDS = 30.0
MAX_RECEIVING = 1000
MAX_AT_WORK = 1000
# Requests of the largest size that fit at the same time.
_LARGEST_AT_WORK = 2


class Intake:
    """Counts what is being received and worked on; used inside one event loop.

    Args:
        max_message_bytes: the size of the largest request.
    """

    def __init__(self, max_message_bytes: int):
        self._max_bytes = _LARGEST_AT_WORK * max_message_bytes
        self._receiving: dict[asyncio.Timeout, None] = {}
        self._at_work = 0
        self._bytes_at_work = 0

    @contextlib.asynccontextmanager
    async def receiving(self) -> AsyncIterator[None]:
        """Held while a request comes in. When there are too many, the one that takes longest is given up.

        Raises:
            TimeoutError: it did not come in time, or had to make room.
        """
        if len(self._receiving) >= MAX_RECEIVING:
            slowest = next(iter(self._receiving))
            slowest.reschedule(asyncio.get_running_loop().time())
            del self._receiving[slowest]
        async with asyncio.timeout(RECEIVE_SECONDS) as timeout:
            self._receiving[timeout] = None
            try:
                yield
            finally:
                self._receiving.pop(timeout, None)

    @contextlib.contextmanager
    def working(self, num_bytes: int) -> Iterator[None]:
        """Held while a request is worked on.

        Raises:
            StatusError: UNAVAILABLE, the server is full.
        """
        full = self._at_work >= MAX_AT_WORK or self._bytes_at_work + num_bytes > self._max_bytes
        if full and self._at_work:
            raise StatusError(
                Code.UNAVAILABLE,
                f"The server is full, {self._at_work} requests of {self._bytes_at_work} bytes are at work; retry.",
            )
        self._at_work += 1
        self._bytes_at_work += num_bytes
        try:
            yield
        finally:
            self._at_work -= 1
            self._bytes_at_work -= num_bytes
