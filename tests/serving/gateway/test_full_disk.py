"""A full disk: events are refused as a whole, pages go on, and afterwards it is as if it had not been."""

from __future__ import annotations

import pathlib
import resource
from collections.abc import Iterator

import pytest

from homefeed.serving.profiles import LiveStore
from tests.serving.gateway import toy
from tests.serving.profiles.folded import fold
from tests.serving.servers import eventually


@pytest.fixture
def full(tmp_path: pathlib.Path) -> Iterator[toy.Gateway]:
    """A gateway whose files may not grow beyond 260 kB."""
    toy.publish(tmp_path / "serving", {})
    with toy.gateway(tmp_path, "--user-rate", "0") as gateway:
        limit(gateway, 260_000)
        yield gateway


def limit(gateway: toy.Gateway, size: int) -> None:
    _, most = resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (size, most))


def test_a_full_disk_is_said_and_recovered_from(full: toy.Gateway, tmp_path: pathlib.Path) -> None:
    acknowledged, refused = set[str](), dict[str, list[dict[str, str]]]()
    for call in range(60):
        events = [
            {"event_id": f"{call}-{n}", "user_id": f"u{n % 3}", "type": "view", "item_id": "x" * 100}
            for n in range(20)
        ]
        answer = full.http.post("/v1/events", json={"events": events})
        if answer.status_code == 200:
            acknowledged |= {one["event_id"] for one in answer.json()["events"]}
            continue
        assert answer.status_code == 503 and answer.headers["retry-after"], answer.text
        assert "nothing was stored" in answer.json()["reason"] and "free the disk" in answer.json()["reason"]
        refused[events[0]["event_id"]] = events
    assert acknowledged and len(refused) > 20
    limit(full, 1)
    assert full.page(user_id="fan", k=3)["rows"]  # It cannot be recorded, and is shown.
    eventually(lambda: "homefeed_exposures_lost_total 1.0" in full.http.get("/metrics").text)
    assert [full.page(user_id=f"u{n}")["profile_version"] for n in range(3)] == [
        sum(int(name.partition("-")[2]) % 3 == n for name in acknowledged) for n in range(3)
    ]
    limit(full, resource.RLIM_INFINITY)
    for events in refused.values():
        assert {one["status"] for one in full.send(*events)} == {"accepted"}
        acknowledged |= {event["event_id"] for event in events}
    full.stop()
    store, stored = LiveStore(tmp_path / "serving" / "live.sqlite"), list[str]()
    for n in range(3):
        mine = list(store.events(f"u{n}"))
        stored += [event.event_id for event in mine]
        assert store.profile(f"u{n}") == fold(mine)
    store.close()
    assert len(stored) == len(set(stored)) == 1_200 and set(stored) == acknowledged
