"""Ctrl-C ends in one line, whatever the process is at."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Iterator

PATIENCE_SECONDS = 10.0  # Within which what is at work must have heard of it. No library need hear it at all.


def leave(*_: object) -> None:
    """Ends the process at once: a run may be killed at any instant without harm."""
    os.write(2, b"Interrupted: what had finished is kept, and the same command goes on from there\n")
    os._exit(130)


@dataclasses.dataclass
class CtrlC:
    """Whether it was pressed. An event of `threading` has a lock, for which a handler that interrupts it waits."""

    pressed: bool = False


@contextlib.contextmanager
def hear_ctrl_c() -> Iterator[CtrlC]:
    """Raises KeyboardInterrupt on the first one; leaves on a second, or where nobody ends.

    Where a shell made this process deaf to it, that stays so.
    """
    heard, before = CtrlC(), signal.getsignal(signal.SIGINT)
    last = threading.Timer(PATIENCE_SECONDS, leave)
    last.daemon = True

    def press(*_: object) -> None:
        if heard.pressed:
            leave()
        heard.pressed = True
        last.start()
        raise KeyboardInterrupt

    if before is signal.SIG_IGN:
        yield heard
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield heard
    finally:
        last.cancel()
        # Threads that hang at the end of the process are ended by one more.
        signal.signal(signal.SIGINT, signal.SIG_DFL if heard.pressed else before)
