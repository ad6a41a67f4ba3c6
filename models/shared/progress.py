"""What a long computation says while it is at work; who shows it listens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

Listener = Callable[[int, int, str], None]
"""Called with how many passes are done, how many there are at most, and the newest figures."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tells `listener` of what is reported inside the block, in this thread."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report(done: int, total: int, figures: str = "") -> None:
    """Says how far a computation is: `done` of at most `total` passes; `figures` such as "loss 0.1234"."""
    if listener := _listener.get():
        listener(done, total, figures)
