"""Reasons made ahead: while nothing else is to do, within bounds, and the same as those that somebody waits for."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from homefeed.serving.gateway import ladder
from homefeed.serving.gateway.config import Config
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.models import Models
from homefeed.serving.gateway.pulse import Pulse
from homefeed.serving.gateway.schema import Ask
from homefeed.serving.gateway.whys import whys
from homefeed.serving.gateway.whys.ahead import MAX_KEPT, MAX_PAGES, QUIET_BEATS, Ahead, Key
from homefeed.serving.policy.errors import NotFound
from homefeed.serving.profiles import Exposure


def page(number: int, user: str = "u") -> Exposure:
    return Exposure(f"page-{number}", user, "", 0, b"")


async def until(condition: Callable[[], Any], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def test_the_newest_pages_come_first_when_it_is_quiet_and_old_ones_fall_out() -> None:
    async def run() -> tuple[list[str], list[str]]:
        pulse, made = Pulse(), list[str]()  # Nobody beats: it is as quiet as it is said to be.
        ahead = Ahead(pulse, 2)

        async def make(exposure: Exposure, items: Sequence[str]) -> None:
            made.append(f"{exposure.impression_id} {'+'.join(items)}")
            await asyncio.sleep(0)
            if exposure.impression_id == "page-4":
                raise NotFound("it has left the store")
            if exposure.impression_id == "page-5":
                raise ValueError("a fault of ours")

        for number in range(MAX_PAGES + 3):
            ahead.served(page(number, "gone" if number == 6 else "u"), ["a", "b", "c"])
        ahead.served(page(99), [])  # Nothing of it is the models'.
        ahead.forget("gone")
        work = asyncio.create_task(ahead.work(make))
        await asyncio.sleep(0.1)
        busy = list(made)
        pulse.quiet_beats = QUIET_BEATS
        await until(lambda: len(made) == MAX_PAGES - 1)
        ahead.served(page(100), ["d"])
        await until(lambda: len(made) == MAX_PAGES)
        work.cancel()
        return busy, made

    busy, made = asyncio.run(run())
    assert busy == []
    kept = [number for number in range(MAX_PAGES + 2, 2, -1) if number != 6]
    assert made == [*(f"page-{number} a+b" for number in kept), "page-100 d"]


def test_what_is_kept_is_bounded_and_nobody_s_who_was_forgotten() -> None:
    ahead = Ahead(Pulse(), 1)
    ahead._user = "u"
    keys = [Key("page", str(number), (1,)) for number in range(MAX_KEPT + 1)]
    for key in keys:
        ahead.keep(key, "u", {"item_id": key.item_id})
    assert ahead.find(keys[0]) is None and ahead.find(keys[1]) == {"item_id": "1"}
    assert ahead.find(keys[1]._replace(mark=(2,))) is None  # Other models, rules or items.
    ahead.forget("u")
    ahead.keep(keys[0], "u", {})  # It was under way.
    assert ahead.find(keys[0]) is ahead.find(keys[1]) is None


def test_a_page_ends_the_quiet() -> None:
    async def run() -> tuple[int, int, int]:
        pulse = Pulse()
        beat = asyncio.create_task(pulse.beat())
        await until(lambda: pulse.quiet_beats >= 3)
        before = pulse.quiet_beats
        pulse.admits()
        after = pulse.quiet_beats
        await until(lambda: pulse.quiet_beats >= 1)
        beat.cancel()
        return before, after, pulse.quiet_beats

    before, after, later = asyncio.run(run())
    assert before >= 3 and after == 0 and later >= 1


def test_they_are_those_that_somebody_waits_for_and_cost_less(
    root: pathlib.Path, models: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "MAX_LAG_SECONDS", 60.0)  # Of a busy machine.
    monkeypatch.setattr(whys, "MAX_LAG_SECONDS", 60.0)
    asked = list[int]()
    find_all = Models.find_all

    async def counted(self: Models, model: str, requests: Any, k: int, seconds: float) -> Any:
        asked.append(len(requests))
        return await find_all(self, model, requests, k, seconds + 30)

    monkeypatch.setattr(Models, "find_all", counted)

    async def run() -> None:
        config = Config(root / "serving", models, budget_seconds=5.0, user_rate=0)
        waiting, making = Home(config, Metrics()), Home(Config(**vars(config) | {"whys_ahead": 3}), Metrics())
        for home in (waiting, making):
            await home.start()
            await home.learn()
        try:
            events = [
                {"event_id": f"ahead-{item}", "user_id": "ahead", "type": "view", "item_id": item}
                for item in ("i03", "i20", "i30")
            ]
            await making.take(events)
            await until(lambda: making.readiness()["models"])
            shown = await making.page(Ask(user_id="ahead", k=4))
            assert shown["served_by"] == "fused"
            first = [card["item_id"] for card in shown["rows"][0]["cards"]]
            kept = making._whys.ahead._kept
            await until(lambda: len(kept) == 3)
            assert [key.item_id for key in kept] == first[:3]
            ahead = sum(asked[1:])  # The first was the page's.
            assert max(asked[1:]) <= 8
            asked.clear()
            await asyncio.gather(*making._recording)  # Nobody else waits for a page to be on disk.
            told = [await making.why(shown["impression_id"], item, "ahead") for item in first[:3]]
            assert asked == []
            await until(lambda: waiting.readiness()["models"])
            anew = [await waiting.why(shown["impression_id"], item, "ahead") for item in first[:3]]
            assert told == anew and told[0]["reasons"][0]["subject"] == "i30"
            assert ahead <= sum(asked) * 0.75
            await making.why(shown["impression_id"], first[3], "ahead")  # Nobody made the fourth.
            await making.forget("ahead")
            assert not kept
        finally:
            await making.stop()
            await waiting.stop()

    asyncio.run(run())
