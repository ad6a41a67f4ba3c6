"""Folders that may not be read or written, for tests that may run as root."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, which no permission stops."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def readable(folder: pathlib.Path) -> None:
    """By everybody, from the top down; writable by nobody else."""
    for place in (folder, *folder.parents):
        if place.stat().st_uid == os.getuid() and place != pathlib.Path("/"):
            place.chmod(place.stat().st_mode | 0o055)
