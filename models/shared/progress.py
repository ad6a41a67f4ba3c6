"""What a long computation says while it is at work; who shows it listens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TypeVar

Batch = TypeVar("Batch")
Listener = Callable[[float, int, str], None]
"""Called with how many epochs are done, how many there are at most, and the newest figures."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tells `listener` of what is reported inside the block, in this thread."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report(done: float, total: int, figures: str = "") -> None:
    """Says how far a computation is: `done` of at most `total` epochs; `figures` such as "loss 0.1234", if new."""
    if listener := _listener.get():
        listener(done, total, figures)


def through(batches: Iterable[Batch], steps: int, epoch: int, total: int) -> Iterator[Batch]:
    """The batches of an epoch (the first is 0), each reported when it is done: epochs may take hours."""
    for number, batch in enumerate(batches, start=1):
        yield batch
        report(epoch + number / steps, total)
