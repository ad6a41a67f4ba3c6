"""The home page over gRPC: what HTTP would answer, from the same process."""

from __future__ import annotations

import asyncio
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from homefeed_client import AsyncHomePageGrpcClient, HomePageClient, HomePageError, HomePageGrpcClient, protos

from homefeed.serving.process import free_port
from tests.serving.gateway import toy
from tests.serving.test_guide import call_by_reflection

SERVICE = "homefeed.v1.HomePage"


class Stub:
    """As generated code would be."""

    def __init__(self, channel: Any):
        response = protos.message
        self.page = channel.unary_unary(
            f"/{SERVICE}/Page", lambda m: m.SerializeToString(), response("homefeed.v1.PageResponse").FromString
        )
        self.send_events = channel.stream_stream(
            f"/{SERVICE}/SendEvents",
            lambda m: m.SerializeToString(),
            response("homefeed.v1.SendEventsResponse").FromString,
        )


def events(*said: dict[str, Any]) -> Any:
    return json_format.ParseDict({"events": [*said]}, protos.message("homefeed.v1.SendEventsRequest")())


def ask(**said: Any) -> Any:
    return protos.message("homefeed.v1.PageRequest")(**said)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[toy.Gateway, str]]:
    root, port = tmp_path_factory.mktemp("grpc"), free_port()
    toy.publish(root / "serving", {})
    with toy.gateway(root, "--grpc-port", str(port)) as gateway:
        yield gateway, f"127.0.0.1:{port}"


@pytest.fixture
def stub(served: tuple[toy.Gateway, str]) -> Iterator[Stub]:
    with grpc.insecure_channel(served[1]) as channel:
        yield Stub(channel)


def test_the_client_says_what_that_of_http_says(served: tuple[toy.Gateway, str]) -> None:
    event = {"session_id": "gc", "type": "view", "item_id": "i20", "at": 1_700_000_000, "features": {"x": 1.5}}
    url = f"http://127.0.0.1:{served[0].port}"
    with HomePageGrpcClient(served[1]) as client, HomePageClient(url) as other:
        answers = client.send([{**event, "event_id": "gc-1"}, {"type": "view"}])
        assert [answer["status"] for answer in answers] == ["accepted", "rejected"] and answers[0]["version"] == 1
        assert other.send([{**event, "event_id": "gc-1"}]) == [{**answers[0], "status": "duplicate"}]
        page, same = client.page(session_id="gc", k=3), other.page(session_id="gc", k=3)
        passing = dict.fromkeys(("impression_id", "token", "age_ms"))
        assert page | passing == same | passing and len(page["token"]) > 32
        more = client.page(session_id="gc", k=3, after=page["impression_id"])
        assert [row["id"] for row in more["rows"]] == ["more"]
        with pytest.raises(HomePageError, match=r"INVALID_ARGUMENT: k: .*less than or equal to 50"):
            client.page(k=51)
        with pytest.raises(HomePageError, match=r"this is not sent: .*no field named"):
            client.page(nobody="x")


def test_the_client_of_asyncio_sends_many_events(served: tuple[toy.Gateway, str]) -> None:
    async def use() -> None:
        async with AsyncHomePageGrpcClient(served[1], timeout_seconds=20) as client:
            answers = await client.send([{"user_id": "gc2", "type": "view", "item_id": "i20"}] * 501)
            assert [answer["version"] for answer in answers] == list(range(1, 502))
            assert (await client.page(user_id="gc2"))["profile_version"] == 501
        async with AsyncHomePageGrpcClient(f"127.0.0.1:{free_port()}", timeout_seconds=0.5) as nobody:
            with pytest.raises(HomePageError, match=r"UNAVAILABLE|DEADLINE_EXCEEDED"):
                await nobody.page(user_id="u")

    asyncio.run(use())


def test_a_page_is_the_one_of_http(served: tuple[toy.Gateway, str], stub: Stub) -> None:
    page, same = stub.page(ask(user_id="fan", k=3)), served[0].page(user_id="fan", k=3)
    assert [(row.id, [card.item_id for card in row.cards]) for row in page.rows] == [
        (row["id"], [card["item_id"] for card in row["cards"]]) for row in same["rows"]
    ]
    card, other = page.rows[0].cards[0], same["rows"][0]["cards"][0]
    assert card.title == other["title"] and not card.HasField("score")
    assert dict(card.columns.items())["price"] == other["price"] and list(card.columns["categories"]) == ["drama"]
    assert page.rows[0].reason["code"] == same["rows"][0]["reason"]["code"]
    assert page.served_by == "popular" and page.token and not page.HasField("model_version")
    more = stub.page(ask(user_id="fan", k=3, after=page.impression_id))
    assert not {c.item_id for c in more.rows[0].cards} & {c.item_id for r in page.rows for c in r.cards}
    assert len(stub.page(ask()).session_id) == 32


def test_events_are_answered_in_order_and_in_the_next_page(served: tuple[toy.Gateway, str], stub: Stub) -> None:
    page = stub.page(ask(user_id="g", k=2))
    first = {
        "event_id": "g-1", "user_id": "g", "type": "like", "item_id": "i12", "at": 1_700_000_000, "value": 4.5,
        "token": page.token, "position": 0, "features": {"device": "phone", "price": 2.5},
    }  # fmt: skip
    play = {"event_id": "g-2", "session_id": "s", "type": "play"}
    requests = iter([events(first), events(first, {"type": "view"}), events(play)])
    answers = [one for response in stub.send_events(requests) for one in response.events]
    assert [answer.status for answer in answers] == ["accepted", "duplicate", "rejected", "accepted"]
    assert answers[0].attributed and answers[0].version == 1 and answers[2].field == "event_id"
    assert stub.page(ask(user_id="g")).profile_version == 1
    assert "i12" not in {c.item_id for r in stub.page(ask(user_id="g", k=50)).rows for c in r.cards}
    (stored,) = served[0].http.get("/me.json", params={"user_id": "g"}).json()
    assert stored["features"] == first["features"] and stored["value"] == 4.5 and stored["at"] == 1_700_000_000
    settings = {"event_id": "g-3", "user_id": "g", "type": "settings", "settings": {"personalised": False}}
    (response,) = stub.send_events(iter([events(settings)]))
    assert response.events[0].status == "accepted"
    assert served[0].http.get("/v1/profile", params={"user_id": "g"}).json()["settings"] == {"personalised": False}


@pytest.mark.parametrize(
    ("call", "code", "reason"),
    [
        (lambda stub: stub.page(ask(k=51)), grpc.StatusCode.INVALID_ARGUMENT, "k: .*less than or equal to 50"),
        (lambda stub: stub.page(ask(user_id="u", session_id="s")), grpc.StatusCode.INVALID_ARGUMENT, "user_id: give"),
        (lambda stub: stub.page(ask(user_id="u", after="no")), grpc.StatusCode.NOT_FOUND, "after: no page of this"),
        (
            lambda stub: list(stub.send_events(iter([events()]))),
            grpc.StatusCode.INVALID_ARGUMENT,
            "this one 0",
        ),
        (
            lambda stub: list(stub.send_events(iter([events(*[{}] * 501)]))),
            grpc.StatusCode.INVALID_ARGUMENT,
            "this one 501",
        ),
        (lambda stub: stub.page(ask(query="x" * 2_000_000)), grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max"),
    ],
)
def test_what_cannot_be_answered_says_why(call: Any, code: grpc.StatusCode, reason: str, stub: Stub) -> None:
    with pytest.raises(grpc.RpcError, match=reason) as refused:
        call(stub)
    assert refused.value.code() == code


def test_many_streams_at_once_share_the_loop_with_http(served: tuple[toy.Gateway, str]) -> None:
    gateway, address = served

    async def sender(stub: Stub, name: str) -> list[int]:
        async def requests() -> Any:
            for n in range(20):
                yield events({"event_id": f"{name}-{n}", "user_id": name, "type": "view", "item_id": "i01"})

        return [answer.version async for response in stub.send_events(requests()) for answer in response.events]

    async def use() -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = Stub(channel)
            found = await asyncio.gather(*(sender(stub, f"stream-{n}") for n in range(20)))
        assert found == [list(range(1, 21))] * 20

    asyncio.run(use())
    assert gateway.page(user_id="stream-7")["profile_version"] == 20


def test_reflection_and_health(served: tuple[toy.Gateway, str]) -> None:
    answer = call_by_reflection(served[1], f"{SERVICE}/Page", {"user_id": "fan", "k": 1})
    assert answer["served_by"] == "popular" and answer["rows"][0]["cards"][0]["columns"]["price"]
    with grpc.insecure_channel(served[1]) as channel:
        for name in ("", SERVICE):
            request = health_pb2.HealthCheckRequest(service=name)
            assert health_pb2_grpc.HealthStub(channel).Check(request).status == health_pb2.HealthCheckResponse.SERVING


def test_a_port_that_is_taken_is_said_in_one_line(served: tuple[toy.Gateway, str], tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    taken = served[1].partition(":")[2]
    command = [*toy.COMMAND, "--root", str(tmp_path), "--port", str(free_port()), "--grpc-port", taken]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and f"gRPC cannot listen on 127.0.0.1:{taken}: name another" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_is_good_for_its_scopes(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    (tmp_path / "keys.yaml").write_text("shop: {key: shop-0123456789abcdef, scopes: [page]}\n")
    port = free_port()
    with (
        toy.gateway(tmp_path, "--api-keys", str(tmp_path / "keys.yaml"), "--grpc-port", str(port)),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub, shop = Stub(channel), [("authorization", "Bearer shop-0123456789abcdef")]
        for metadata in ([], [("x-api-key", "shop")]):
            with pytest.raises(grpc.RpcError) as refused:
                stub.page(ask(), metadata=metadata)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert stub.page(ask(), metadata=shop).rows
        with pytest.raises(grpc.RpcError, match="has not the scope 'events'") as refused:
            list(stub.send_events(iter([events({})]), metadata=shop))
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
