import pathlib
import re

import pytest

from homefeed.pipeline.runner import usage

STATUS = pathlib.Path("/proc/self/status")


def resident_mebibytes() -> float:
    found = re.search(r"^VmRSS:\s*(\d+) kB", STATUS.read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


@pytest.mark.skipif(not STATUS.is_file(), reason="only Linux says what a process holds")
def test_what_was_freed_is_given_back() -> None:
    usage.give_memory_back()
    before = resident_mebibytes()
    blocks = [
        bytes([1]) * 2000 for _ in range(50_000)
    ]  # Of the C library: each is too small for a mapping of its own.
    last = blocks.pop()  # Behind all others: what lies before it is not at the end of the heap.
    blocks.clear()
    kept = resident_mebibytes() - before
    usage.give_memory_back()
    assert last and kept > 60, kept  # 100 MB were taken and are free.
    assert resident_mebibytes() - before < 20
