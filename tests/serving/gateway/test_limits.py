"""How much one may ask: users and keys have rates, others go on meanwhile, and nothing of it is in a log."""

from __future__ import annotations

import pathlib
from typing import Any

import grpc
import pytest
from homefeed_client import HomePageClient

from homefeed.schemas.privacy import pseudonym
from homefeed.serving.gateway.limits import BURST_SECONDS, Rate
from homefeed.serving.process import free_port
from tests.serving.gateway import toy
from tests.serving.gateway.test_service import Stub, ask, events


def test_on_average_nobody_gets_more_than_their_rate() -> None:
    rate, given = Rate(10), 0
    for tenth in range(1000):  # Of a second.
        given += sum(not rate.wait("greedy", 1, tenth / 10) for _ in range(50))
        assert not rate.wait("modest", 1, tenth / 10)
    assert 10 * 100 <= given <= 10 * (100 + BURST_SECONDS) + 1
    assert not rate.wait("greedy", 50, 100.0) and 4 < rate.wait("greedy", 1, 100.0) <= 5
    assert not rate.wait("greedy", 1, 100.0 + BURST_SECONDS)


def test_only_who_asked_a_moment_ago_is_remembered() -> None:
    rate = Rate(1)
    for n in range(1000):
        assert not rate.wait(f"user-{n}", 1, n)
    assert len(rate._empty_at) <= 2


def views(user: str, count: int) -> list[dict[str, Any]]:
    return [{"user_id": user, "event_id": f"{user}-{n}", "type": "view", "item_id": "i01"} for n in range(count)]


def test_a_user_who_sends_too_much_waits_and_others_do_not(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    with toy.gateway(tmp_path, "--user-rate", "2") as gateway:
        assert len(gateway.send(*views("eager", 50))) == 50  # A call is never too long by itself.
        late = gateway.http.post("/v1/events", json={"events": views("eager", 1)})
        assert late.status_code == 429 and 1 <= int(late.headers["retry-after"]) <= 5
        assert "too many events of one user" in late.json()["reason"]
        mixed = gateway.send(
            *views("eager", 1), *views("calm", 1), {"session_id": "s", "event_id": "s", "type": "play"}
        )
        assert [answer["status"] for answer in mixed] == ["rejected", "accepted", "accepted"]
        assert mixed[0]["field"] == "user_id" and "come back in" in mixed[0]["reason"]
        page = gateway.http.get("/v1/page", params={"user_id": "eager"})
        assert page.status_code == 429 and "too many pages of one user" in page.json()["reason"]
        assert gateway.page(user_id="calm")["profile_version"] == 1
        assert [gateway.page()["profile_version"] for _ in range(100)] == [0] * 100  # Strangers are many.
        for line in ('homefeed_refused_total{what="events"} 1.0', 'homefeed_refused_total{what="page"} 1.0'):
            assert line in gateway.http.get("/metrics").text
        with HomePageClient(f"http://127.0.0.1:{gateway.port}", timeout_seconds=30) as client:  # It waits by itself.
            assert client.send(views("eager", 1))[0]["status"] == "duplicate"


def test_a_key_has_a_rate(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    (tmp_path / "keys.yaml").write_text(
        "slow: {key: slow-0123456789abcdef, scopes: [page], rate: 0.1}\n"
        "quick: {key: quick-0123456789abcdef, scopes: [page]}\n"
    )
    port = free_port()
    with (
        toy.gateway(tmp_path, "--api-keys", str(tmp_path / "keys.yaml"), "--grpc-port", str(port)) as gateway,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):

        def statuses(key: str) -> list[int]:
            headers = {"authorization": f"Bearer {key}"}
            return [gateway.http.get("/v1/page", headers=headers).status_code for _ in range(4)]

        assert statuses("slow-0123456789abcdef") == [200, 200, 200, 429]
        assert statuses("quick-0123456789abcdef") == [200] * 4
        with pytest.raises(grpc.RpcError, match="this key is used too often: come back in") as refused:
            Stub(channel).page(ask(), metadata=[("x-api-key", "slow-0123456789abcdef")])
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_no_log_and_no_metric_names_a_user(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over every way in, whether it is understood or not."""
    monkeypatch.setenv("USER_KEY", "0123456789abcdef")
    toy.publish(tmp_path / "serving", {}, "env:USER_KEY")
    user, port = "zebra-user", free_port()
    with (
        toy.gateway(tmp_path, "--grpc-port", str(port)) as gateway,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        good, bad = views(user, 1)[0], {"event_id": user, "user_id": user, "at": user}
        for path in ("/v1/events", "/v1/events:validate", "/ubi_events", "/v1/track", "/v1/login", f"/{user}"):
            for body in ({"events": [good, bad]}, good, [bad], bad):
                assert gateway.http.post(path, json=body).status_code < 500
        for path in ("/v1/page", "/v1/profile", "/", "/me.json"):
            for query in ({"user_id": user}, {"user_id": user, "after": user, "k": user}):
                assert gateway.http.get(path, params=query).status_code < 500
        list(Stub(channel).send_events(iter([events({"event_id": "g", "user_id": user, "type": "play"})])))
        with pytest.raises(grpc.RpcError):
            Stub(channel).page(ask(user_id=user, k=99))
        assert user not in gateway.http.get("/metrics").text
        gateway.stop()
    assert user.encode() not in (tmp_path / f"gateway-{gateway.port}.log").read_bytes()
    stored = b"".join(path.read_bytes() for path in (tmp_path / "serving").glob("live.sqlite*"))
    # Who names an event by a user's id has written it there.
    assert pseudonym(user, b"0123456789abcdef").encode() in stored and f'"{user}"'.encode() not in stored
