"""Folders for passing files, with names by which what a killed process left behind can be told and removed."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator

PREFIX = "homefeed-"
_OF_PROCESS = re.compile(rf"{PREFIX}(\d+)-.+")
_STAGING = re.compile(r"\.[0-9a-f]{32}\.tmp")
STALE_SECONDS = 3600  # Nobody is still writing what was changed so long ago.


@contextlib.contextmanager
def scratch() -> Iterator[pathlib.Path]:
    """A folder in the system's place for temporary files, gone at the end; on the way, those of dead processes go."""
    for left in abandoned():
        remove(left)
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as folder:
        yield pathlib.Path(folder)


def abandoned() -> list[pathlib.Path]:
    """The folders of processes that were killed."""
    folders = pathlib.Path(tempfile.gettempdir()).glob(f"{PREFIX}*")
    return [folder for folder in folders if (of := _OF_PROCESS.fullmatch(folder.name)) and not _is_alive(int(of[1]))]


@contextlib.contextmanager
def staged(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """A place in a folder to write something at, before it is renamed to what it is meant to be.

    Nothing is there at the end, whatever happened; nor of others who were killed long ago.
    """
    for path in folder.glob(".*.tmp"):
        if is_staged(path) and time.time() - path.stat().st_ctime > STALE_SECONDS:
            remove(path)
    place = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        yield place
    finally:
        remove(place)


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A place to write what takes a file's place in one step, at the end of a block that raises nothing."""
    with staged(path.parent) as place:
        yield place
        os.replace(place, path)


def is_staged(path: pathlib.Path) -> bool:
    """Whether it was being written, perhaps by a process that was killed."""
    return _STAGING.fullmatch(path.name) is not None


def remove(path: pathlib.Path) -> None:
    """Removes a file or folder that may be there, as far as this user may."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
