"""Watches over the RPCs that wait for their caller, so that nobody holds a place by doing nothing."""

import contextlib
import threading
import time
from collections.abc import Iterator

import grpc

from homefeed.serving.model_server.intake import MAX_RECEIVING, RECEIVE_SECONDS

# From the answer of an RPC to its end: how long its caller may take to read.
_READ_SECONDS = 60.0
_LOOK_SECONDS = 1.0


class CallWatch:
    """Cancels RPCs whose caller is too slow: with its message, or with reading the answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Since when each waits, longest first.
        self._receiving: dict[grpc.ServicerContext, float] = {}
        self._answered: dict[grpc.ServicerContext, float] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="grpc-calls", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def receiving(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Held while a message comes in. When there are too many, the one that takes longest is given up."""
        with self._lock:
            slowest = next(iter(self._receiving)) if len(self._receiving) >= MAX_RECEIVING else None
            self._receiving[context] = time.monotonic()
        if slowest is not None:
            slowest.cancel()
        try:
            yield
        finally:
            with self._lock:
                del self._receiving[context]

    def answered(self, context: grpc.ServicerContext) -> None:
        """Notes that the rest is up to the caller."""
        with self._lock:
            self._answered[context] = time.monotonic()
        if not context.add_callback(lambda: self._end(context)):
            self._end(context)

    def _end(self, context: grpc.ServicerContext) -> None:
        with self._lock:
            self._answered.pop(context, None)

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            for context in self._late():
                context.cancel()

    def _late(self) -> list[grpc.ServicerContext]:
        now = time.monotonic()
        limits = ((self._receiving, RECEIVE_SECONDS), (self._answered, _READ_SECONDS))
        with self._lock:
            return [context for waiting, limit in limits for context, since in waiting.items() if now - since > limit]

    def stop(self) -> None:
        """Ends the watch."""
        self._stopped.set()
        self._thread.join()
