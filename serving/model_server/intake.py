"""How much may be at work in the server at the same time, over both protocols."""

import contextlib
import resource
import threading
from collections.abc import Iterator

from homefeed.serving.model_server.errors import Code, StatusError

# From the first byte of a request to its last; a request that is not whole yet holds next to nothing.
RECEIVE_SECONDS = 30.0
# How many may come in at the same time; where there are more, the slowest is given up.
MAX_RECEIVING = 1000
# Requests of the largest size that fit at the same time: the size of a request bounds what it costs.
_LARGEST_AT_WORK = 2


def raise_file_limit() -> None:
    """Lets the process have as many connections as the system allows; shells allow 1,024 by default."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def max_connections(wanted: int) -> int:
    """At most this many, and a third of the files that the process may open: there are two ports, and models."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if limit == resource.RLIM_INFINITY else min(wanted, limit // 3)


class Intake:
    """Counts the bytes of the requests at work.

    Args:
        max_message_bytes: the size of the largest request.
    """

    def __init__(self, max_message_bytes: int):
        self._max_bytes = _LARGEST_AT_WORK * max_message_bytes
        self._bytes = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def working(self, num_bytes: int) -> Iterator[None]:
        """Held while a request is worked on.

        Raises:
            StatusError: UNAVAILABLE, the server is full; to try again is right.
        """
        with self._lock:
            if self._bytes and self._bytes + num_bytes > self._max_bytes:
                raise StatusError(
                    Code.UNAVAILABLE,
                    f"The server is full: requests of {self._bytes} bytes are at work, and this one has {num_bytes}. "
                    f"It takes {self._max_bytes} at a time; try again.",
                )
            self._bytes += num_bytes
        try:
            yield
        finally:
            with self._lock:
                self._bytes -= num_bytes
