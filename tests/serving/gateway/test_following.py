"""What a home page follows beside its requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pathlib

import pytest

from homefeed.models.requests import Event, Request
from homefeed.serving.gateway import following
from homefeed.serving.gateway.config import Config
from homefeed.serving.gateway.drafting import draft
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.making import Made
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.published import Published
from homefeed.serving.gateway.schema import Ask
from homefeed.serving.profiles import FILE_NAME, write_profiles
from tests.serving.gateway import toy


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


def test_each_page_of_the_moment_of_a_push_is_of_one_catalogue(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules know the items of their own catalogue alone: another one's would break the page."""
    toy.publish(tmp_path, {})
    (tmp_path / "rules.yaml").write_text("no-drama: {deny: {categories: drama}}")
    (tmp_path / "surfaces.yaml").write_text("both: {rows: [for_you, popular]}")
    ask = Ask(user_id="u", surface="both", k=2)

    def shown(made: Made) -> list[str]:
        return [card["item_id"] for row in made.rows for card in row.cards]

    async def pages() -> list[list[str]]:
        home = Home(Config(tmp_path, rules=tmp_path / "rules.yaml", surfaces=tmp_path / "surfaces.yaml"), Metrics())
        known, loop = home.known, asyncio.get_running_loop()
        follow, begun = known.policies.follow, await draft(ask, "0" * 32, known, home.live, home._ladder)
        found = list[list[str]]()

        async def see() -> None:
            found.append(shown((await home.preview(ask)).made))

        def follow_late(published: Published) -> None:
            asyncio.run_coroutine_threadsafe(see(), loop).result(10)
            follow(published)

        monkeypatch.setattr(known.policies, "follow", follow_late)
        cards = toy.cards() | {"new": {"categories": ["comedy"]}, "newer": {"categories": ["drama"]}}
        much = [Request(f"{item}-{n}", [Event(item)]) for n in range(20) for item in ("new", "newer")]
        write_profiles(tmp_path / FILE_NAME, [*toy.profiles(), *much], {i: i for i in cards}, "", cards)
        await known._look_at_pushes()
        found.append(shown(home._made(begun)))
        await see()
        await home.stop()
        return found

    # i25 is popular; i12 and i11 are, too, and dramas.
    before = ["i25", "i21", "i22", "i23"]
    assert asyncio.run(pages()) == [before, before, ["new", "i25", "i21", "i22"]]
