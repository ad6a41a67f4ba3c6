"""Load: the lag of the loop is measured, and a burst loses quality and not pages."""

from __future__ import annotations

import asyncio
import collections
import time
from typing import Any

import httpx

from homefeed.serving.gateway.pulse import KEYLESS_SHARE, MAX_PAGES_A_BEAT, MIN_PAGES_A_BEAT, Pulse
from tests.serving.gateway.toy import Gateway
from tests.serving.servers import eventually


class InTime(asyncio.SelectorEventLoop):
    """Time passes only when nobody has anything to do: on a busy machine, too, every beat comes in time."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        loop: Any = self  # What its own kind keeps, of which types do not tell.
        if not loop._ready and loop._scheduled:
            self.now = max(self.now, loop._scheduled[0].when())
        super()._run_once()


def test_the_lag_is_how_long_the_loop_was_held_up() -> None:
    async def hold_up() -> tuple[float, float]:
        pulse = Pulse()
        beating = asyncio.create_task(pulse.beat())
        await asyncio.sleep(0.05)
        time.sleep(0.4)
        await asyncio.sleep(0.005)
        held_up = pulse.lag_seconds
        for _ in range(50):
            await asyncio.sleep(0.03)
        beating.cancel()
        return held_up, pulse.lag_seconds

    held_up, later = asyncio.run(hold_up())
    assert held_up >= 0.35  # 0.4 of the sleep less what was left of the beat.
    assert later < held_up


def test_so_many_pages_are_begun_between_two_beats_and_no_more() -> None:
    async def ask(count: int) -> list[int]:
        pulse = Pulse()
        beating = asyncio.create_task(pulse.beat())
        begun = []
        for _ in range(3):
            begun.append(sum(pulse.admits() for _ in range(count)))
            await asyncio.sleep(0.1)
        beating.cancel()
        return begun

    with asyncio.Runner(loop_factory=InTime) as runner:
        assert runner.run(ask(1_000)) == [MAX_PAGES_A_BEAT] * 3
        assert runner.run(ask(3)) == [3] * 3


def test_a_loop_that_is_late_takes_fewer_pages_until_it_is_in_time_again() -> None:
    async def ask() -> tuple[int, int]:
        pulse = Pulse()
        beating = asyncio.create_task(pulse.beat())
        for _ in range(6):
            await asyncio.sleep(0)
            time.sleep(0.1)  # What a beat's pages cost.
            await asyncio.sleep(0.001)
        busy = sum(pulse.admits() for _ in range(1_000))
        for _ in range(40):
            await asyncio.sleep(0.03)
        rested = sum(pulse.admits() for _ in range(1_000))
        beating.cancel()
        return busy, rested

    busy, rested = asyncio.run(ask())
    assert busy == MIN_PAGES_A_BEAT and rested > 2 * busy


def test_who_has_no_key_leaves_room_for_those_who_have() -> None:
    pulse = Pulse()
    assert sum(pulse.admits(is_keyless=True) for _ in range(1_000)) == MAX_PAGES_A_BEAT * KEYLESS_SHARE
    assert sum(pulse.admits() for _ in range(1_000)) == MAX_PAGES_A_BEAT * (1 - KEYLESS_SHARE)


def test_a_burst_gets_pages_or_is_told_to_come_back(home: Gateway) -> None:
    async def burst() -> collections.Counter[tuple[int, str]]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{home.port}", limits=limits, timeout=200) as http:
            asked = (http.get("/v1/page", params={"user_id": f"burst-{n}"}) for n in range(300))
            answers = await asyncio.gather(*asked)
        return collections.Counter(
            (answer.status_code, answer.json().get("served_by", answer.headers.get("retry-after")))
            for answer in answers
        )

    told = asyncio.run(burst())
    assert told.total() == 300 and {status for status, _ in told} <= {200, 429}, told
    assert sum(count for (status, _), count in told.items() if status == 200) > 50, told
    assert all(said == "1" for status, said in told if status == 429)
    eventually(lambda: home.page(user_id="after-the-burst")["served_by"] == "fused", 5)
