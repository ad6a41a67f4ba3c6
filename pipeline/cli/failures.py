"""How a failure is told: in one line and with an exit code, if a user can mend it."""

from __future__ import annotations

import errno
from typing import NamedTuple

from homefeed.schemas.errors import HomefeedError

INTERRUPTED = "what had finished is kept, and the same command goes on from there"
# What a user's paths, disks and ports make of a system call.
MENDABLE = {
    errno.EACCES,
    errno.EADDRINUSE,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EFBIG,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


class Interrupted(HomefeedError):  # noqa: N818  A wish, not a fault.
    """Somebody pressed Ctrl-C."""

    exit_code = 130  # As shells say of SIGINT.


class Told(NamedTuple):
    """What the user gets."""

    title: str
    message: str
    exit_code: int  # 1: the work failed or a gate said no. 2: it was asked for wrongly.


def tell(error: BaseException) -> Told | None:
    """The line about an error; None: it is a fault of ours."""
    if isinstance(error, KeyboardInterrupt):
        return tell(Interrupted(INTERRUPTED))
    title = type(error).__name__
    if isinstance(error, HomefeedError):
        return Told(title, str(error), error.exit_code)
    # The client is a distribution of its own and knows nothing of ours: this is where its errors become some.
    if type(error).__module__.partition(".")[0] == "homefeed_client":
        return Told(title, str(error), 1)
    if isinstance(error, UnicodeDecodeError):
        found = error.object[error.start : error.start + 1].hex()
        return Told(title, f"a file is not UTF-8 text: byte 0x{found} at {error.start}; save it as UTF-8", 1)
    # Libraries that read files raise an OSError of words alone.
    if isinstance(error, OSError) and (error.errno is None or error.errno in MENDABLE):
        return Told(title, f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    return None
