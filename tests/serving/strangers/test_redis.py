"""The store in a real Redis: what `live.sqlite` would say, for several gateways at once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import pathlib
import random
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from homefeed.pipeline.forget import forget
from homefeed.serving.log.copy import LOG_FILE_NAME
from homefeed.serving.process import free_port
from homefeed.serving.profiles import Exposure, LiveEvent, Stop, StoreError
from homefeed.serving.profiles.outbox import Forgotten, read_record
from homefeed.serving.profiles.redis_store import RedisStore
from homefeed.serving.profiles.stores import FileStore, Store
from tests.serving.deploy.test_gateway import rendered, started
from tests.serving.gateway import toy
from tests.serving.profiles.folded import fold
from tests.serving.servers import eventually

pytestmark = [
    pytest.mark.strangers,
    pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server on PATH"),
]
USERS = ("u0", "u1", "u2", "guest")
KINDS = ("view", "like", "hide", "not_for_me", "undo", "search", "purchase", "impression", "settings")


@contextlib.contextmanager
def running(folder: pathlib.Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server that keeps what it answered, until the block ends, and then kill -9."""
    options = ["--port", str(port), "--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always"]
    process = subprocess.Popen(
        ["redis-server", "--bind", "127.0.0.1", "--save", "", *options], stdout=subprocess.DEVNULL
    )
    try:
        with redis.Redis(port=port) as client:

            def answers() -> bool:
                with contextlib.suppress(redis.ConnectionError):
                    return bool(client.ping())
                return False

            eventually(answers)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    with running(tmp_path_factory.mktemp("redis"), port):
        yield port


@pytest.fixture
def url(server: int) -> str:
    """An empty database."""
    with redis.Redis(port=server) as client:
        client.flushall()
    return f"redis://127.0.0.1:{server}/0"


def event(event_id: str, user: str = "u1", kind: str = "view", item: str = "a", at: int = 1_700_000_000) -> LiveEvent:
    settings = {"personalised": False} if kind == "settings" else {}
    return LiveEvent(
        event_id, user, kind, at, at * 1000, item, 0.1, "q", "t", "i", 3, ("drama", "语"), settings, {"x": 1.5}, True
    )


async def all_of(store: Store, user: str) -> Any:
    pages = await store.pages(user, 7), await store.pages(user, 3, before=200)
    return (
        await store.read(user),
        await store.events(user),
        await store.only_seen(user),
        await store.assigned(user),
        pages,
    )


def test_it_says_what_the_file_says(url: str, tmp_path: pathlib.Path) -> None:
    draw = random.Random(7)

    async def step(store: Store, number: int, chance: random.Random) -> Any:
        what = chance.random()
        if what < 0.1:
            return await store.merge("guest", chance.choice(USERS[:3]))
        if what < 0.15:
            return await store.forget(chance.choice(USERS))
        if what < 0.4:
            after = f"p{chance.randrange(number + 1)}"
            arms = {f"e{number % 3}": f"arm{chance.randrange(2)}"} if chance.random() < 0.5 else {}
            await store.record(Exposure(f"p{number}", chance.choice(USERS), after, number, b'{"a": 1}', arms))
            await store.stop(Stop(f"e{number % 3}", "arm0", "r", number))
            pages = await store.scrolled(f"p{chance.randrange(number + 1)}", chance.choice(USERS))
            return pages, await store.exposure(f"p{chance.randrange(number + 1)}"), await store.base("u")
        draws = [[chance.randrange(400), *map(chance.choice, (USERS, KINDS, "abcdefghi"))] for _ in range(7)]
        return await store.append([event(str(name), *rest, number) for name, *rest in draws])

    async def compare() -> None:
        one, other = RedisStore(url), FileStore(tmp_path / "live.sqlite", lambda *_: None, 1_000)
        listed = 0
        for number in range(400):
            seed = draw.random()
            assert await step(one, number, random.Random(seed)) == await step(other, number, random.Random(seed))
            if number % 20 == 0:
                for user in USERS:
                    assert await all_of(one, user) == await all_of(other, user)
                profiles = await one.profiles([*USERS, "nobody"])
                assert profiles == await other.profiles([*USERS, "nobody"]) and len(profiles) == 5
                listed += len(await one.pages("u0", 100, before=number))
        assert listed > 10
        assert sorted(await one.stops()) == sorted(await other.stops()) != []
        assert len(await one.secret()) == 32 and await one.secret() == await one.secret()
        await one.close()
        await other.close()

    asyncio.run(compare())


def test_many_writers_of_the_same_users_lose_nothing(url: str) -> None:
    async def write() -> None:
        stores = [RedisStore(url) for _ in range(4)]

        async def sender(number: int) -> None:
            for call in range(15):
                # Each event is sent by two senders.
                some = [event(f"{number // 2}-{call}-{n}", USERS[n % 3]) for n in range(6)]
                await stores[number % 4].append(some)

        await asyncio.gather(*(sender(number) for number in range(8)))
        stored = []
        for user in USERS[:3]:
            (profile, _), events, *_ = await all_of(stores[0], user)
            assert profile == fold(events) and profile.version == len(events)
            stored += [one.event_id for one in events]
        assert len(stored) == len(set(stored)) == 4 * 15 * 6
        for store in stores:
            await store.close()

    asyncio.run(write())


def test_an_event_on_one_gateway_is_in_the_next_page_of_the_other(url: str, tmp_path: pathlib.Path) -> None:
    for name in ("one", "two"):
        toy.publish(tmp_path / name / "serving", {})
    options = ("--store", url)
    with (
        toy.gateway(tmp_path / "one", *options) as one,
        toy.gateway(tmp_path / "two", *options) as two,
        concurrent.futures.ThreadPoolExecutor(4) as pool,
    ):

        def click_and_look(n: int) -> None:
            here, there = (one, two) if n % 2 else (two, one)
            user, item = f"u{n % 5}", toy.IDS[n % 38]
            version = here.did(str(n), user, "view", item)["version"]
            page = there.page(user_id=user, k=50)
            assert page["profile_version"] >= version and item not in toy.items(page)
            assert there.did(str(n), user, "view", item)["status"] == "duplicate"

        list(pool.map(click_and_look, range(100)))
        page = one.page(user_id="reader", k=3)
        more = two.page(user_id="reader", k=3, after=page["impression_id"])
        assert toy.items(more) and not set(toy.items(more)) & set(toy.items(page))
        shown = {"event_id": "t", "user_id": "reader", "type": "view", "token": page["token"]}
        shown["item_id"] = toy.items(page)[0]
        assert two.send(shown)[0]["attributed"]
        one.did("g", "session-1", "view", "i20")
        assert two.http.post("/v1/login", json={"session_id": "session-1", "user_id": "new"}).json() == {"moved": 1}
        assert "i20" not in toy.items(one.page(user_id="new", k=50))
    assert not (tmp_path / "one" / "serving" / "live.sqlite").exists()


def test_gateways_count_each_others_events_once_and_again_after_a_start(url: str, tmp_path: pathlib.Path) -> None:
    surfaces = tmp_path / "surfaces.yaml"
    surfaces.write_text("home: {rows: [trending], length: 3}")
    for name in ("one", "two"):
        toy.publish(tmp_path / name / "serving", {})
    options = ("--store", url, "--surfaces", str(surfaces))
    with toy.gateway(tmp_path / "one", *options) as one, toy.gateway(tmp_path / "two", *options) as two:
        for n, item in enumerate(["i07", "i08", "i07", "i09", "i07", "i08"]):
            assert (one, two)[n % 2].did(str(n), f"guest-{n}", "view", item)["status"] == "accepted"
        for n in (3, 3):  # Moved, and sent again: none counts twice.
            one.http.post("/v1/login", json={"session_id": f"guest-{n}", "user_id": "somebody"})
            assert two.did(str(n), "somebody", "view", "i09")["status"] == "duplicate"
        for gateway in (one, two):
            eventually(lambda gateway=gateway: toy.items(gateway.page(user_id="reader")) == ["i07", "i08", "i09"])
    with toy.gateway(tmp_path / "one", *options) as one:
        eventually(lambda: toy.items(one.page(user_id="reader")) == ["i07", "i08", "i09"])


def test_the_stream_says_what_the_log_says(url: str, tmp_path: pathlib.Path) -> None:
    async def told(store: Store) -> set[tuple[str, int]]:
        await store.append([event("1", "guest"), event("2", item="b"), event("3", kind="hide"), event("1", "guest")])
        found = [batch async for _, batch in store.happened("")]
        mark = [mark async for mark, _ in store.happened("")][-1]
        await store.merge("guest", "u1")
        await store.append([event("4", item="c", at=1_700_000_009), event("5", kind="search")])
        await store.append([event("6", item="c", at=1_700_000_010), event("7", item="c", at=1_700_000_011)])
        found += [batch async for _, batch in store.happened(mark)]
        last = [mark async for mark, _ in store.happened(mark)][-1]
        assert [batch async for _, batch in store.happened(last)] == []
        await store.close()
        assert all(one.user_id for batch in found for one in batch) or len(found[-1]) == 1  # Who is told, or once.
        return {(one.item_id, min(one.at, 1_700_000_009)) for batch in found for one in batch}

    async def both() -> list[set[tuple[str, int]]]:
        stores = (RedisStore(url), FileStore(tmp_path / "live.sqlite", lambda *_: None, 10))
        return [await told(store) for store in stores]

    expected = {("a", 1_700_000_000), ("b", 1_700_000_000), ("c", 1_700_000_009)}
    assert asyncio.run(both()) == [expected, expected]


def test_a_gateway_as_kubernetes_starts_several_keeps_profiles_there(
    url: str, nearest: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    """With the very arguments of its container, and the Secret's `store`."""
    toy.publish(tmp_path / "serving", nearest)
    out = rendered(tmp_path, tmp_path / "out", "--gateway-replicas", "2")
    places = {"/var/lib/homefeed": str(tmp_path), "homefeed-serving:8500": "", "$(STORE)": url}
    with started(out, "kubernetes", places) as running:
        event = {"event_id": "pod", "user_id": "of-a-pod", "type": "view", "item_id": "i20"}
        told = running.gateway.http.post("/v1/events", json={"events": [event]}, headers=running.shop).json()
        assert told["events"][0]["status"] == "accepted"
        page = running.gateway.http.get("/v1/page?user_id=of-a-pod", headers=running.shop).json()
        assert page["rows"] and page["profile_version"] == 1
    assert not (tmp_path / "serving" / "live.sqlite").exists()


def test_a_server_that_dies_is_said_and_come_back_from(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    port = free_port()
    with contextlib.ExitStack() as gateways:
        with running(tmp_path, port):
            gateway = gateways.enter_context(
                toy.gateway(tmp_path, "--store", f"redis://:secret-word@127.0.0.1:{port}")
            )
            # No password is set there: what is wrong with an address must not be told with it.
            gateway.stop()
            log = (tmp_path / f"gateway-{gateway.port}.log").read_text()
            gateway = gateways.enter_context(toy.gateway(tmp_path, "--store", f"redis://127.0.0.1:{port}"))
            assert gateway.did("1", "u", "view", "i01")["status"] == "accepted"
        assert "secret-word" not in log
        body = {"events": [{"event_id": "2", "user_id": "u", "type": "view", "item_id": "i02"}]}
        for answer in (gateway.http.post("/v1/events", json=body), gateway.http.get("/v1/page?user_id=u")):
            assert (
                answer.status_code == 503
                and answer.headers["retry-after"]
                and "redis://127" in answer.json()["reason"]
            )
        with running(tmp_path, port):
            assert gateway.page(user_id="u")["profile_version"] == 1
            assert gateway.send(*body["events"])[0] == {"event_id": "2", "status": "accepted", "version": 2}


def test_who_starts_without_a_server_is_told_in_one_line(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    port = free_port()
    command = [*toy.COMMAND, "--root", str(tmp_path), "--store", f"redis://:secret-word@127.0.0.1:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode and f"redis://127.0.0.1:{port} did not" in done.stderr and "start it" in done.stderr
    assert len(done.stderr.splitlines()) == 1 and "secret-word" not in done.stderr
    with pytest.raises(StoreError, match="is no address of a store"):
        RedisStore("http://127.0.0.1")


def test_without_room_nothing_is_stored(url: str, server: int) -> None:
    async def fill() -> None:
        store, refused = RedisStore(url), 0
        with redis.Redis(port=server) as client:
            client.config_set("maxmemory", client.info("memory")["used_memory"] + 300_000)
            for n in range(200):
                some = [event(f"{n}-{m}", f"u{n}", item="x" * 100) for m in range(20)]
                try:
                    await store.append(some)
                except StoreError as error:
                    assert "maxmemory" in str(error) and "give it room" in str(error)
                    refused += 1
                    assert (await store.read(f"u{n}"))[0].version == len(await store.events(f"u{n}")) == 0
            client.config_set("maxmemory", 0)
        assert 0 < refused < 200
        assert [one.accepted for one in await store.append(some)] == [True] * 20
        await store.close()

    asyncio.run(fill())


def test_only_so_many_pages_are_kept(url: str, server: int) -> None:
    async def record() -> None:
        store = RedisStore(url, max_exposures=10)
        for n in range(25):
            await store.record(Exposure(f"p{n}", "u", "", n, b"{}"))
        assert [bool(await store.scrolled(f"p{n}", "u")) for n in range(25)] == [False] * 15 + [True] * 10
        await store.close()

    asyncio.run(record())
    with redis.Redis(port=server) as client:
        assert client.llen("homefeed:pages") == client.scard("homefeed:pages:u") == 10
        assert 0 < client.ttl("homefeed:page:p24") <= 30 * 86_400


def test_who_is_forgotten_is_nowhere_in_it(url: str, server: int, tmp_path: pathlib.Path) -> None:
    async def fill() -> None:
        store = RedisStore(url)
        for user in ("zebra-user", "other-user"):
            await store.append([event(f"{user}-{n}", user, item=f"i{n}") for n in range(5)])
            await store.record(Exposure(f"page-of-{user[:5][::-1]}", user, "", 1, b"{}"))
        await store.close()

    asyncio.run(fill())
    with redis.Redis(port=server) as client:
        assert traces(client, b"zebra-user")
        done = forget("zebra-user", root=tmp_path, store=url)
        assert done.removed[url] == 5 and done.traces == []
        assert not traces(client, b"zebra-user") and traces(client, b"other-user")
        folder = pathlib.Path(client.config_get("dir")["dir"])
        assert not any(b"zebra-user" in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_who_is_forgotten_leaves_the_outbox_or_the_log_is_told(url: str, tmp_path: pathlib.Path) -> None:
    """Told is who has a log; where it was turned off, what waits of them goes, and of the guest who they were."""

    async def fill(logs: bool) -> None:
        store = RedisStore(url, logs=logs)
        await store.begin()
        for user in ("guest", "zebra-user", "other-user"):
            await store.append([event(f"{user}-{logs}", user)])
            await store.record(Exposure(f"page-{user}-{logs}", user, "", 1, b"{}"))
        await store.merge("guest", "zebra-user")
        await store.close()

    async def waiting() -> list[Any]:
        store = RedisStore(url)
        found = [read_record(entry.record) for entry in await store.outbox().waiting()]
        await store.close()
        return found

    (tmp_path / "serving").mkdir()
    asyncio.run(fill(True))
    done = forget("zebra-user", root=tmp_path, store=url)
    assert (tmp_path / "serving" / LOG_FILE_NAME).is_file() and "Kafka removes it" in done.traces[0]
    said = [record.said for record in asyncio.run(waiting())]
    assert len(said) == 9 and said[-1] == Forgotten("zebra-user")
    asyncio.run(fill(False))
    forget("zebra-user", root=tmp_path, store=url)
    assert {record.said.user_id for record in asyncio.run(waiting())} == {"other-user"}


def test_pages_wait_for_a_log_up_to_a_limit(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homefeed.serving.profiles.redis_outbox.MAX_WAITING", 3)

    async def record() -> None:
        store = RedisStore(url, logs=True)
        told = [await store.record(Exposure(f"p{n}", "u", "", n, b"{}")) for n in range(5)]
        await store.append([event("1", "u")])
        assert told == [True] * 3 + [False] * 2 and len(await store.pages("u", 9)) == 5
        assert len(await store.outbox().waiting()) == 4
        await store.close()

    asyncio.run(record())


def traces(client: Any, name: bytes) -> list[bytes]:
    """Keys with a name in them or in what they hold."""
    read = {b"hash": client.hgetall, b"set": client.smembers, b"string": client.get}
    read[b"stream"] = client.xrange
    read[b"list"] = lambda key: client.lrange(key, 0, -1)
    return [key for key in client.scan_iter() if name in key or name in repr(read[client.type(key)](key)).encode()]
