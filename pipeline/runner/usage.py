"""What a computation takes of the machine."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import pathlib
import re
import resource
import time

_STATUS, _RESET = pathlib.Path("/proc/self/status"), pathlib.Path("/proc/self/clear_refs")


@dataclasses.dataclass(frozen=True)
class Usage:
    """Of this process and the children that ended.

    Attributes:
        seconds: by the clock.
        cpu_seconds: of all cores together.
        peak_mebibytes: the most memory that this process held at once, what it held before included.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mebibytes: float = 0.0


class Meter:
    """Measures from when it is made."""

    def __init__(self) -> None:
        with contextlib.suppress(OSError):  # Where the kernel does not let us, the peak is that of the whole process.
            _RESET.write_text("5")
        self._started, self._cpu = time.monotonic(), _cpu_seconds()

    def read(self) -> Usage:
        """What was taken so far."""
        return Usage(time.monotonic() - self._started, _cpu_seconds() - self._cpu, _peak_mebibytes())


def give_memory_back() -> None:
    """Gives the system what was freed: the C library keeps it, and a run would hold the most that any step took."""
    with contextlib.suppress(OSError, AttributeError):  # Another C library than glibc.
        ctypes.CDLL(None).malloc_trim(0)


def _cpu_seconds() -> float:
    whose = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in whose)


def _peak_mebibytes() -> float:
    found = re.search(r"^VmHWM:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE) if _STATUS.is_file() else None
    kibibytes = int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes / 1024
