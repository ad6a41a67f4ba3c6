"""The client of the home page, sync and asyncio, and what it is for: nothing lost and nothing twice over kill -9."""

from __future__ import annotations

import asyncio
import pathlib
import threading

import pytest
from homefeed_client import AsyncHomePageClient, HomePageClient, HomePageError

from homefeed.serving.process import free_port
from homefeed.serving.profiles import LiveStore
from tests.serving.gateway import toy
from tests.serving.servers import eventually


def test_pages_and_events(home: toy.Gateway) -> None:
    with HomePageClient(f"http://127.0.0.1:{home.port}") as client:
        answers = client.send([{"session_id": "c1", "type": "view", "item_id": "i20"}, {"type": "view"}])
        assert [answer["status"] for answer in answers] == ["accepted", "rejected"]
        assert len(answers[0]["event_id"]) == 32
        assert toy.row(client.page(session_id="c1", k=2), "for_you") == ["i19", "i21"]
        assert client.log_in("c1", "c1-user") == 1
        assert toy.row(client.page(user_id="c1-user", k=2), "for_you") == ["i19", "i21"]
        with pytest.raises(HomePageError, match=r"422 from .*less than or equal to 50") as refused:
            client.page(k=51)
        assert refused.value.status == 422


def test_many_events_go_in_several_calls(home: toy.Gateway) -> None:
    async def use() -> None:
        async with AsyncHomePageClient(f"http://127.0.0.1:{home.port}", timeout_seconds=20) as client:
            answers = await client.send([{"user_id": "c2", "type": "view", "item_id": "i20"}] * 1_201)
            assert [answer["version"] for answer in answers] == list(range(1, 1_202))
            assert toy.row(await client.page(user_id="c2", k=1), "for_you") == ["i19"]

    asyncio.run(use())


def test_nobody_there_is_said_in_time() -> None:
    with (
        HomePageClient(f"http://127.0.0.1:{free_port()}", timeout_seconds=0.5) as client,
        pytest.raises(HomePageError, match=r"no answer from http://127\.0\.0\.1"),
    ):
        client.page(user_id="u")


def test_kill_9_under_load_loses_nothing_and_counts_nothing_twice(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    port, acknowledged, stop = free_port(), set[str](), threading.Event()

    def load(user: str) -> None:
        with HomePageClient(f"http://127.0.0.1:{port}", timeout_seconds=60) as client:
            n = 0
            while not stop.is_set():
                names = [f"{user}-{n}-{m}" for m in range(3)]
                client.send([{"event_id": e, "user_id": user, "type": "view", "item_id": "i01"} for e in names])
                acknowledged.update(names)
                n += 1

    threads = [threading.Thread(target=load, args=(f"u{n}",)) for n in range(4)]
    for life in range(3):
        with toy.gateway(tmp_path, port=port):  # Ends with kill -9.
            if not life:
                [thread.start() for thread in threads]
            count = len(acknowledged)
            eventually(lambda count=count: len(acknowledged) > count + 200)
            if life == 2:
                stop.set()
                [thread.join() for thread in threads]
    store = LiveStore(tmp_path / "serving" / "live.sqlite")
    stored = [event.event_id for n in range(4) for event in store.events(f"u{n}")]
    assert len(stored) == len(set(stored)) and set(stored) == acknowledged
    assert sum(store.profile(f"u{n}").version for n in range(4)) == len(stored)
    store.close()
