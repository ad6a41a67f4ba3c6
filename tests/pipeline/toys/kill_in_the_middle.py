"""Run as a process of its own: `python -m tests.pipeline.toys.kill_in_the_middle DATA ROOT`."""

import pathlib
import sys

from tests.pipeline.toys.pipeline import run_toy

if __name__ == "__main__":
    run_toy(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
