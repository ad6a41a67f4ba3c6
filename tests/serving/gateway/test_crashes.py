"""kill -9 of the gateway under load: what was acknowledged is there once, and profiles are what events make."""

import contextlib
import pathlib
import random
import threading
import time
from collections.abc import Iterator

import pytest
from homefeed_client import HomePageClient

from homefeed.serving.profiles import LiveStore
from homefeed.serving.profiles.store import LIVE_FILE_NAME
from tests.serving.gateway import toy
from tests.serving.profiles.folded import fold
from tests.serving.servers import eventually, free_port

NUM_SENDERS, EVENTS_A_CALL = 4, 20
USERS = [f"u{number}" for number in range(10)]


class Senders:
    """Clients that send on and on, and try again when the gateway is not there.

    Attributes:
        acknowledged: ids of events → the user, once the gateway said that they are stored.
    """

    def __init__(self, port: int):
        self.acknowledged: dict[str, str] = {}
        self._port = port
        self._stopped = threading.Event()

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
        draw = random.Random(sender)
        with HomePageClient(
            f"http://127.0.0.1:{self._port}", timeout_seconds=600
        ) as home:  # It may miss many gateways.
            call = 0
            while not self._stopped.is_set():
                events = [
                    {
                        "event_id": f"{sender}-{call}-{place}",
                        "user_id": draw.choice(USERS),
                        "type": draw.choice(["view", "like", "hide"]),
                        "item_id": draw.choice(toy.IDS),
                    }
                    for place in range(EVENTS_A_CALL)
                ]
                for event, answer in zip(events, home.send(events), strict=True):
                    # A duplicate was stored by a try whose answer was lost.
                    assert answer["status"] in ("accepted", "duplicate"), answer
                    self.acknowledged[event["event_id"]] = event["user_id"]
                call += 1


@pytest.mark.parametrize("times", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_what_was_acknowledged_is_there_once(times: int, tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    port, draw = free_port(), random.Random(times)
    senders = Senders(port)
    with contextlib.ExitStack() as last:
        with senders.running():
            for _ in range(times):
                with toy.gateway(tmp_path, "--user-rate", "0", port=port):
                    before = len(senders.acknowledged)
                    eventually(lambda before=before: len(senders.acknowledged) > before)
                    time.sleep(draw.random() / 5)  # Then it is killed.
            gateway = last.enter_context(toy.gateway(tmp_path, "--user-rate", "0", port=port))
        gateway.stop()
    _check(tmp_path / "serving" / LIVE_FILE_NAME, senders.acknowledged)


def _check(path: pathlib.Path, acknowledged: dict[str, str]) -> None:
    """Nothing lost, nothing twice: also of what was sent and never answered."""
    store = LiveStore(path)
    stored: list[tuple[str, str]] = []
    for user in USERS:
        events = list(store.events(user))
        stored += [(event.event_id, user) for event in events]
        profile = store.profile(user)
        assert profile.version == len(events) and profile == fold(events)
    store.close()
    assert len(dict(stored)) == len(stored)
    assert acknowledged.items() <= dict(stored).items()
    assert len(acknowledged) > 100
