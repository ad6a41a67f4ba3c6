"""`homefeed feedback`."""

from __future__ import annotations

import pathlib
import time

from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.profiles import LiveStore
from homefeed.serving.profiles.store import LIVE_FILE_NAME
from tests.pipeline.command import homefeed
from tests.serving.feedback import shop


def test_a_time_to_come_lets_nothing_leave_before_its_time(tmp_path: pathlib.Path) -> None:
    """What is sent again is known for --keep-days by the clock, whatever --at says."""
    serving, data = shop.make(tmp_path)
    root = RunRoot(tmp_path / "root")
    root.path.mkdir()
    serving.rename(root.serving)
    store = LiveStore(root.serving / LIVE_FILE_NAME)
    store.append([shop.event("click", "u", "click", "a", at=int(time.time()) - 60)]).result()
    assert homefeed("feedback", "seal", "--root", str(root.path), "--data", str(data), "--at", "2199-01-01") == 0
    assert (data / "interactions" / "1.parquet").is_file()
    assert not store.append([shop.event("click", "u", "click", "a")]).result()[0].accepted
    store.close()
    assert homefeed("feedback", "seal", "--root", str(root.path), "--data", str(data), "--keep-days", "inf") == 2
