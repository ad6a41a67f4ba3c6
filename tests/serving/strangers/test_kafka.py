"""Many gateways and one log in a real Kafka, whose broker dies as gateways do."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from homefeed_client import HomePageClient, HomePageError

from homefeed.serving.feedback.seal import seal
from homefeed.serving.log.address import read_address
from homefeed.serving.log.kafka import LogReader
from homefeed.serving.process import free_port
from homefeed.serving.profiles import Exposure, LiveEvent, LiveStore
from homefeed.serving.profiles.outbox import read_record
from homefeed.serving.profiles.store import LIVE_FILE_NAME
from tests.serving.feedback import shop
from tests.serving.feedback.test_seal import rows
from tests.serving.gateway import toy
from tests.serving.log.test_copy import written
from tests.serving.servers import eventually
from tests.serving.strangers import broker as kafka
from tests.serving.strangers.test_redis import running as running_redis

pytestmark = [
    pytest.mark.strangers,
    pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server on PATH"),
]
USERS = [f"u{number}" for number in range(10)]
NUM_SENDERS, EVENTS_A_CALL = 4, 10


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka.Broker]:
    with kafka.running(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


class Senders:
    """Clients that send on and on, look at pages, and try again when nobody is there.

    Attributes:
        acknowledged: ids of events → the user, once a gateway said that they are stored.
        faults: what should not have been answered.
    """

    def __init__(self, ports: list[int]):
        self.acknowledged, self.faults = dict[str, str](), list[BaseException]()
        self._ports, self._stopped = ports, threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._send, args=(number,)) for number in range(NUM_SENDERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def _send(self, sender: int) -> None:
        port, call = self._ports[sender % len(self._ports)], 0
        with HomePageClient(f"http://127.0.0.1:{port}", timeout_seconds=600) as home:
            while not self._stopped.is_set():
                events = [
                    {
                        "event_id": f"{sender}-{call}-{place}",
                        "user_id": USERS[(call * 7 + place * sender) % len(USERS)],
                        "type": ("view", "like", "hide")[(call + place) % 3],
                        "item_id": toy.IDS[(call + 3 * place) % len(toy.IDS)],
                    }
                    for place in range(EVENTS_A_CALL)
                ]
                try:
                    answers = home.send(events)
                    assert {answer["status"] for answer in answers} <= {"accepted", "duplicate"}
                    home.page(user_id=events[0]["user_id"], k=5)
                except (AssertionError, HomePageError) as error:
                    self.faults.append(error)
                    return
                self.acknowledged |= {event["event_id"]: event["user_id"] for event in events}
                call += 1

    def more(self) -> None:
        """Returns when something more was acknowledged."""
        before = len(self.acknowledged)
        eventually(lambda: bool(self.faults) or len(self.acknowledged) > before, seconds=120)
        assert not self.faults, self.faults


@pytest.mark.parametrize("store", ["redis", "file"])
@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_who_is_killed_in_turn_loses_nothing_and_doubles_nothing(
    store: str, rounds: int, broker: kafka.Broker, tmp_path: pathlib.Path
) -> None:
    url, port = broker.make_topic(f"{store}-{rounds}"), free_port()
    with running_redis(tmp_path, port):
        options = ("--user-rate", "0", "--log", url, *(("--store", f"redis://127.0.0.1:{port}") * (store == "redis")))
        senders = _kill_in_turn(tmp_path, options, 2 if store == "redis" else 1, rounds, broker)
        orders = _orders(tmp_path, f"redis://127.0.0.1:{port}" if store == "redis" else "")
    assert len(senders.acknowledged) >= 50
    at = time.time() + 3_600
    _, data = shop.make(tmp_path / "many")
    done = seal(tmp_path / "0" / "serving", data, at, log=url)
    assert done.log and done.log.gone == done.log.unreadable == 0
    sealed = [row for table in ("interactions", "feedback") for row in rows(data, table)]
    found = {row["event_id"]: row["user_id"] for row in sealed}
    assert len(sealed) == len(found), "none twice"
    assert senders.acknowledged.items() <= found.items(), "none lost"
    assert found == {name: user for user, names in orders.items() for name in names}, "as the store has it"
    for user, names in orders.items():
        for table in ("interactions", "feedback"):
            mine = [row["event_id"] for row in rows(data, table) if row["user_id"] == user]
            assert mine == [name for name in names if name in set(mine)], "in the order of the store"
    _, data_of_one = _one_gateway(tmp_path, url, at)
    assert written(data) == written(data_of_one) and len(written(data)) == 3


def _kill_in_turn(
    folder: pathlib.Path, options: tuple[str, ...], num_gateways: int, rounds: int, broker: kafka.Broker
) -> Senders:
    ports = [free_port() for _ in range(num_gateways)]
    senders, running = Senders(ports), dict[int, contextlib.ExitStack]()

    def start(number: int) -> Any:
        toy.publish(folder / str(number) / "serving", {})
        running[number] = contextlib.ExitStack()
        gateway = toy.gateway(folder / str(number), *options, port=ports[number])
        return running[number].enter_context(gateway)

    for number in range(num_gateways):
        start(number)
    with senders.running():
        for turn in range(rounds):
            senders.more()
            broker.kill()
            if turn % 2:
                running[0].close()  # While the log is away, with a full outbox.
                start(0)
            broker.start()
            senders.more()
            running[turn % num_gateways].close()
            start(turn % num_gateways)
            senders.more()
    for number in range(num_gateways):
        running[number].close()
        start(number).stop()
        running[number].close()
    return senders


def _orders(folder: pathlib.Path, url: str) -> dict[str, list[str]]:
    """User → ids of their events, as the store has them."""
    import asyncio

    from homefeed.serving.profiles import open_store

    async def read() -> dict[str, list[str]]:
        store = open_store(url, folder / "0" / "serving" / LIVE_FILE_NAME, lambda *_: None, 10, logs=True)
        assert await store.outbox().oldest() is None, "all of it was sent"
        orders = {user: [event.event_id for event in await store.events(user)] for user in USERS}
        await store.close()
        return orders

    return asyncio.run(read())


def _one_gateway(folder: pathlib.Path, url: str, at: float) -> tuple[pathlib.Path, pathlib.Path]:
    """What one gateway would have sealed that was told what is in the log."""
    serving, data = shop.make(folder / "one")
    reader = LogReader(read_address(url))
    ranges = {part: (bounds.first, bounds.end) for part, bounds in reader.bounds().items()}
    logged = sorted(one for batch in reader.read(ranges) for one in batch)
    reader.close()
    store, pages = LiveStore(serving / LIVE_FILE_NAME), set[str]()
    for one in logged:
        record = read_record(one.record)
        assert record
        if isinstance(record.said, LiveEvent):
            store.append([record.said])
        elif isinstance(record.said, Exposure) and record.said.impression_id not in pages:
            pages.add(record.said.impression_id)
            store.record(record.said)
    store.close()
    seal(serving, data, at)
    return serving, data


def waiting(gateway: toy.Gateway) -> dict[str, float]:
    """Metrics of the outbox."""
    lines = [line.split() for line in gateway.http.get("/metrics").text.splitlines()]
    return {line[0]: float(line[1]) for line in lines if line[0].startswith("homefeed_outbox")}


def test_while_the_log_is_away_pages_come_and_events_wait(broker: kafka.Broker, tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    url = broker.make_topic("away")
    with toy.gateway(tmp_path, "--log", url) as gateway:
        assert gateway.did("1", "u", "view", "i01")["status"] == "accepted"
        broker.kill()
        try:
            body = {"events": [{"event_id": "2", "user_id": "u", "type": "view", "item_id": "i02"}]}
            first = gateway.http.post("/v1/events", json=body)
            assert first.status_code == 503 and first.headers["retry-after"]
            assert "it is stored here, and the log has not confirmed" in first.json()["reason"]
            time.sleep(1)
            started = time.monotonic()
            again = gateway.http.post("/v1/events", json=body)
            assert again.status_code == 503 and "nothing was stored" in again.json()["reason"]
            assert time.monotonic() - started < 2, "nobody waits for a log that is known to be away"
            assert gateway.page(user_id="u")["rows"]
            eventually(lambda: waiting(gateway)["homefeed_outbox_entries"] == 2)  # The page as well.
            assert waiting(gateway)["homefeed_outbox_seconds"] > 5
            gateway.stop()
        finally:
            broker.start()
    with toy.gateway(tmp_path, "--log", url) as gateway:
        eventually(lambda: gateway.http.post("/v1/events", json=body).status_code == 200)
        assert gateway.send(*body["events"])[0]["status"] == "duplicate"
    _, data = shop.make(tmp_path / "of")
    seal(tmp_path / "serving", data, log=url)
    assert [row["event_id"] for row in rows(data, "interactions")] == ["1", "2"]


def _refused(tmp_path: pathlib.Path, *arguments: str) -> str:
    command = [sys.executable, "-c", "from homefeed.pipeline.cli.main import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode and len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_who_names_a_wrong_log_is_told_in_one_line(broker: kafka.Broker, tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    _, data = shop.make(tmp_path / "of")
    verbs = (["gateway", "--root", str(tmp_path)], ["feedback", "seal", "--root", str(tmp_path), "--data", str(data)])
    with kafka.running(tmp_path / "closed", with_login=True) as closed:
        for verb in verbs:
            assert "is no address of a log" in _refused(tmp_path, *verb, "--log", "kafka://here/t")
            absent = _refused(tmp_path, *verb, "--log", f"kafka://{broker.servers}/nowhere")
            assert "no topic 'nowhere'" in absent and "kafka-topics.sh --create" in absent
            wrong = _refused(tmp_path, *verb, "--log", f"kafka://shop:of-a-thief@{closed.servers}/t")
            assert "refuses us" in wrong and "of-a-thief" not in wrong
            right = _refused(tmp_path, *verb, "--log", f"kafka://shop:of-the-shop@{closed.servers}/t")
            assert "no topic 't'" in right
    gone = _refused(tmp_path, *verbs[1], "--log", f"kafka://127.0.0.1:{free_port()}/t")
    assert "is out of reach" in gone and "start the brokers" in gone
