"""Seals that are killed: `python -m tests.serving.feedback.die_sealing AT KEEP_SECONDS LOG FOLDER:LINES:LINES ...`.

In each folder (`serving` and `data`) one child after the other seals and kills itself after as many lines of the
sealing's own code; 0: not at all, and then it prints after how many lines each line of code was reached first.
"""

from __future__ import annotations

import os
import pathlib
import signal
import sys
from types import FrameType
from typing import Any

import pandas  # noqa: F401  Children need not do what pyarrow does at its first array.

from homefeed.serving import feedback, log, profiles
from homefeed.serving.feedback.seal import seal

OWN = tuple(str(pathlib.Path(str(module.__file__)).parent) for module in (feedback, log, profiles))


def die_after(lines: int) -> dict[tuple[str, int], int]:
    """From now on lines are counted; the process ends with the last of them."""
    reached: dict[tuple[str, int], int] = {}
    count = 0

    def step(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(OWN):
            return None
        if event == "line":
            count += 1
            reached.setdefault((frame.f_code.co_filename, frame.f_lineno), count)
            if count == lines:
                os.kill(os.getpid(), signal.SIGKILL)
        return step

    sys.settrace(step)
    return reached


def main() -> None:
    at, keep, url, *jobs = sys.argv[1:]
    for folder, *lines in (job.split(":") for job in jobs):
        for number in map(int, lines):
            child = os.fork()
            if not child:
                reached = die_after(number)
                place = pathlib.Path(folder)
                seal(place / "serving", place / "data", float(at), keep_seconds=float(keep), log=url)
                sys.settrace(None)
                if not number:
                    print(*reached.values(), flush=True)
                os._exit(0)
            os.waitpid(child, 0)


if __name__ == "__main__":
    main()
