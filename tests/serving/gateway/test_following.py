"""What a home page follows beside its requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from homefeed.serving.gateway import following


def test_a_fault_that_nobody_thought_of_ends_no_following(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that never looks again serves yesterday's models and rules, and says nothing of it."""
    monkeypatch.setattr(following, "FOLLOW_SECONDS", 0.001)
    looks: list[int] = []

    async def look() -> float:
        looks.append(1)
        if len(looks) == 1:
            raise IndexError("of a fault in a file")
        return 0.001

    async def some() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(following.repeat(look), 0.2)

    with caplog.at_level(logging.ERROR):
        asyncio.run(some())
    assert len(looks) > 1 and "of a fault in a file" in caplog.text
