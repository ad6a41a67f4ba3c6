"""The program as people call it, in a process of its own."""

from __future__ import annotations

import pathlib
import subprocess
import sys

PROGRAM = pathlib.Path(sys.executable).with_name("homefeed")


def homefeed(*words: str) -> str:
    """Runs `homefeed` with these words; returns what it printed, and raises where it failed."""
    return subprocess.run([PROGRAM, *words], stdout=subprocess.PIPE, check=True, text=True).stdout
