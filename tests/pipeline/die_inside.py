"""A run that dies inside a named component: `python -m tests.pipeline.die_inside COMPONENT DATA ROOT [counting]`.

The component does all of its work, so its staging folder is full; then half of one of its files is cut off and the
process kills itself, before anything is published or recorded. With `counting`, models count instead of learning.
"""

import importlib
import os
import pathlib
import signal
import sys
from typing import Any

import pytest

from tests.counting import count_instead_of_training
from tests.runs import run_small


def main() -> None:
    name, data, root, *how = sys.argv[1:]
    if how == ["counting"]:
        count_instead_of_training(pytest.MonkeyPatch())
    module = importlib.import_module(f"homefeed.components.{name}")
    work = module.run

    def run_and_die(inputs: Any, outputs: Any, config: Any) -> str:
        work(inputs, outputs, config)
        files = [path for value in vars(outputs).values() for path in value.path.rglob("*") if path.is_file()]
        largest = max(files, key=lambda path: path.stat().st_size)
        os.truncate(largest, largest.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
        return ""

    module.run = run_and_die  # type: ignore[attr-defined]
    run_small(pathlib.Path(data), pathlib.Path(root))


if __name__ == "__main__":
    main()
