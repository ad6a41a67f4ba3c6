"""One process at a time, where several read a file, look at it and replace it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def alone_in(folder: pathlib.Path) -> Iterator[None]:
    """A block while which nobody else on this machine is in one for the same folder; they wait.

    Raises:
        OSError: there is no such folder.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
