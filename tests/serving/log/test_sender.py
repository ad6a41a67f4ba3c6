"""From the outbox to the log: nobody is answered before it is there, and nothing is forgotten meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator

import pytest

from homefeed.serving.log import sender as sending
from homefeed.serving.log.address import LogError, read_address
from homefeed.serving.log.kafka import Log
from homefeed.serving.log.sender import Sender
from homefeed.serving.process import free_port
from homefeed.serving.profiles import StoreError
from homefeed.serving.profiles.outbox import read_record
from homefeed.serving.profiles.stores import FileStore
from tests.serving.feedback import shop
from tests.serving.log.cluster import records


@contextlib.asynccontextmanager
async def opened(path: pathlib.Path, url: str) -> AsyncIterator[tuple[FileStore, Sender]]:
    store = FileStore(path, lambda *_: None, 100, logs=True)
    sender = Sender(store.outbox(), Log(read_address(url)), lambda *_: None)
    await sender.start()
    try:
        yield store, sender
    finally:
        await sender.stop()
        await store.close()


def sent(url: str) -> list[str]:
    """Ids of the events and pages of the log, by user and in order."""
    found = [read_record(record) for _, record in sorted(records(url), key=lambda one: one[0])]
    said = [record.said for record in found if record]
    return [getattr(one, "event_id", "") or getattr(one, "impression_id", "forgotten") for one in said]


def test_what_is_settled_is_in_the_log_in_the_order_of_each_user(log: str, tmp_path: pathlib.Path) -> None:
    async def use() -> None:
        async with opened(tmp_path / "live.sqlite", log) as (store, sender):
            await asyncio.gather(*(click(store, sender, f"u{n % 3}", n) for n in range(60)))
            assert len(sent(log)) == 60
            await store.append([shop.event("0", "u0", "click", "a")])  # A duplicate is no news.
            await store.record(shop.exposure("page", "u0", shop.NOW, "a"))
            await sender.settled()
            assert len(sent(log)) == 61 and await store.outbox().oldest() is None

    async def click(store: FileStore, sender: Sender, user: str, number: int) -> None:
        await store.append([shop.event(str(number), user, "click", "a")])
        await sender.settled()

    asyncio.run(use())
    numbers = [int(name) for name in sent(log) if name != "page"]
    for user in range(3):
        assert [n for n in numbers if n % 3 == user] == list(range(user, 60, 3))


def test_while_the_log_is_away_nobody_is_answered_and_the_outbox_does_not_grow(
    log: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr("homefeed.serving.log.kafka.REACH_SECONDS", 0.3)
    told = list[tuple[int, float]]()

    async def without() -> None:
        store = FileStore(tmp_path / "live.sqlite", lambda *_: None, 100, logs=True)
        away = Log(read_address(f"kafka://127.0.0.1:{free_port()}/topic"))
        sender = Sender(store.outbox(), away, lambda *one: told.append(one))
        await sender.start()
        sender.require_room()
        await store.append([shop.event("1", "u", "click", "a")])
        with pytest.raises(StoreError, match=r"it is stored here, .* send it again, under the same ids"):
            await sender.settled()
        await asyncio.sleep(0.3)
        with pytest.raises(StoreError, match="nothing was stored: the log has confirmed nothing for"):
            sender.require_room()
        await sender.stop()
        await store.close()

    async def come_back() -> None:
        async with opened(tmp_path / "live.sqlite", log) as (store, sender):
            assert not (await store.append([shop.event("1", "u", "click", "a")]))[0].accepted
            await sender.settled()
            sender.require_room()

    asyncio.run(without())
    assert max(count for count, _ in told) == 1 and max(age for _, age in told) > 0.3
    monkeypatch.undo()
    asyncio.run(come_back())
    assert sent(log) == ["1"]


def test_what_a_dead_gateway_left_is_sent_by_the_next(log: str, tmp_path: pathlib.Path) -> None:
    """Also what the log has, and the gateway died before it could tell."""

    async def die() -> None:
        store = FileStore(tmp_path / "live.sqlite", lambda *_: None, 100, logs=True)
        await store.append([shop.event(str(n), "u", "click", "a") for n in range(5)])
        Log(read_address(log)).send((await store.outbox().waiting())[:3])
        await store.close()

    async def live() -> None:
        async with opened(tmp_path / "live.sqlite", log) as (_, sender):
            await sender.settled()

    asyncio.run(die())
    asyncio.run(live())
    assert sent(log) == ["0", "1", "2", "0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:9092/t",
        "kafka://localhost/t",
        "kafka://localhost:9092",
        "kafka://localhost:9092/a/b",
        "kafka://a:1,b/t",
        "kafka://localhost:0/t",
        "kafka:///t",
        "9092",
    ],
)
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(LogError, match=r"is no address of a log; write kafka://HOST:PORT/TOPIC"):
        read_address(url)


def test_an_address_has_brokers_a_topic_and_a_login_that_is_not_told() -> None:
    plain = read_address("kafka://a:1,b:2/clicks")
    assert (plain.name, plain.brokers, plain.topic, plain.security) == (
        "kafka://a:1,b:2/clicks",
        "a:1,b:2",
        "clicks",
        {},
    )
    secret = read_address("kafkas://shop:s%40cret@a:1/clicks?mechanism=SCRAM-SHA-512&ca=/ca.pem")
    assert secret.name == "kafkas://a:1/clicks" and secret.security == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "shop",
        "sasl.password": "s@cret",
        "ssl.ca.location": "/ca.pem",
    }
    assert read_address("kafkas://a:1/t").security == {"security.protocol": "SSL"}
    with pytest.raises(LogError, match="there is no option 'mechanisme'; there are mechanism, ca"):
        read_address("kafka://u:secret@a:1/t?mechanisme=PLAIN")
