"""Events as User Behavior Insights and Segment name them: each becomes one of ours, or is answered in its words."""

from __future__ import annotations

import base64
import json
import pathlib
import time
from typing import Any

import pytest

from homefeed.serving.gateway.schema import EventIn, Rejected
from homefeed.serving.gateway.segment import SEGMENT
from homefeed.serving.gateway.ubi import UBI
from tests.serving.gateway import toy

NOON = 1_700_000_000
CLICK = {
    "application": "shop",
    "action_name": "click",
    "query_id": "q-1",
    "session_id": "s-1",
    "client_id": "c-1",
    "user_id": "u-1",
    "timestamp": "2023-11-14T22:13:20Z",
    "message_type": "CLICK_THROUGH",
    "message": "looked",
    "user_query": "star wars",
    "event_attributes": {
        "object": {"object_id": "i09", "object_id_field": "sku", "name": "more"},
        "position": {"ordinal": 3, "xy": {"x": 1, "y": 2}},
        "token": "t",
        "more": [1],
    },
}
QUERY = {
    "user_query": "咖啡",
    "query_id": "q-2",
    "client_id": "c-1",
    "timestamp": "2023-11-14T22:13:20+00:00",
    "query_response_hit_ids": ["1", "2"],
    "query_attributes": {"page": 2},
}
TRACK = {
    "type": "track",
    "messageId": "m-1",
    "userId": "u-1",
    "anonymousId": "a-1",
    "event": "Product Viewed",
    "timestamp": "2023-11-14T22:13:20.500Z",
    "sentAt": "2023-11-14T22:13:21Z",
    "context": {"library": {"name": "analytics.js"}},
    "properties": {"product_id": 507, "price": 9.5, "position": 1, "name": "Monopoly", "token": "t"},
}


def fields(found: EventIn | Rejected) -> dict[str, Any]:
    assert isinstance(found, EventIn), found
    return found.model_dump(exclude_unset=True)


def test_an_event_of_ubi() -> None:
    assert fields(UBI.read(CLICK, NOON)) == {
        "event_id": UBI.translate(CLICK)["event_id"],
        "user_id": "u-1",
        "type": "click",
        "item_id": "i09",
        "at": NOON,
        "query": "star wars",
        "impression_id": "q-1",
        "token": "t",
        "position": 2,
    }


def test_a_query_of_ubi_is_a_search_by_whom_it_names() -> None:
    found = fields(UBI.read(QUERY, NOON))
    assert found["type"] == "search" and found["query"] == "咖啡" and found["session_id"] == "c-1"
    assert fields(UBI.read(QUERY | {"session_id": "s-1"}, NOON))["session_id"] == "s-1"
    assert fields(UBI.read(QUERY | {"session_id": "s-1", "user_id": ""}, NOON))["session_id"] == "s-1"
    assert fields(UBI.read(QUERY | {"user_query": "x" * 900}, NOON))["query"] == "x" * 500


def test_a_play_without_an_item_is_an_event() -> None:
    watch = {"action_name": "watch", "timestamp": "2023-11-14T22:13:20", "session_id": "s"}
    assert fields(UBI.read(watch, NOON)).items() >= {"type": "watch", "at": NOON}.items()
    play = {"event": "Video Playback Started", "anonymousId": "a", "messageId": "m"}
    assert fields(SEGMENT.read(play, NOON)) == {
        "event_id": "m", "session_id": "a", "type": "play"
    }  # fmt: skip


def test_the_same_body_has_the_same_name_in_any_order() -> None:
    backwards = dict(reversed(CLICK.items()))
    assert UBI.translate(CLICK)["event_id"] == UBI.translate(backwards)["event_id"]
    assert UBI.translate(CLICK)["event_id"] != UBI.translate(CLICK | {"client_id": "c-2"})["event_id"]
    assert UBI.translate(CLICK | {"event_id": "mine"})["event_id"] == "mine"


def test_a_track_of_segment() -> None:
    assert fields(SEGMENT.read(TRACK, NOON)) == {
        "event_id": "m-1",
        "user_id": "u-1",
        "type": "view",
        "item_id": "507",
        "at": NOON,
        "value": 9.5,
        "token": "t",
        "position": 0,
    }
    searched = {"event": "Products Searched", "userId": 7, "messageId": "m", "properties": {"query": "tea"}}
    assert fields(SEGMENT.read(searched, NOON)) == {
        "event_id": "m", "user_id": "7", "type": "search", "query": "tea"
    }  # fmt: skip
    assert fields(SEGMENT.read(TRACK | {"event": " Gift  Wrapped"}, NOON))["type"] == "gift_wrapped"


@pytest.mark.parametrize(
    ("said", "field", "reason"),
    [
        ("text", "event", "expected an object"),
        ({}, "action_name", "there is neither"),
        (CLICK | {"action_name": 5}, "action_name", "valid string"),
        (CLICK | {"action_name": "x" * 65}, "action_name", "at most 64"),
        (CLICK | {"timestamp": "yesterday"}, "timestamp", "ISO 8601"),
        (CLICK | {"timestamp": 1_700_000_000}, "timestamp", "ISO 8601"),
        (CLICK | {"timestamp": "2190-01-01T00:00:00Z"}, "timestamp", "in the future"),
        (CLICK | {"user_id": "", "session_id": None, "client_id": ""}, "user_id", "either user_id or session_id"),
        (CLICK | {"user_id": ["u"]}, "user_id", "valid string"),
        (CLICK | {"user_query": 5}, "user_query", "valid string"),
        (CLICK | {"event_attributes": "x"}, "event_attributes", "expected an object"),
        (CLICK | {"event_attributes": {"object": "i09"}}, "event_attributes.object", "expected an object"),
        (
            CLICK | {"event_attributes": {"object": {"object_id": "x" * 256}}},
            "event_attributes.object.object_id",
            "at most 128",
        ),
        (
            CLICK | {"event_attributes": {"position": {"ordinal": -1}}},
            "event_attributes.position.ordinal",
            "greater than or equal to 0",
        ),
        (CLICK | {"message": "\ud800"}, "event", "is no JSON"),
        (CLICK | {"message": 2**70}, "event", "is no JSON"),
        (CLICK | {"action_name": "like", "event_attributes": {}}, "event_attributes.object.object_id", "needs it"),
    ],
)
def test_what_ubi_cannot_mean_is_said_in_its_words(said: Any, field: str, reason: str) -> None:
    found = UBI.read(said, time.time())
    assert isinstance(found, Rejected) and found.field == field and reason in found.reason


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"type": "identify"}, "type", "only `track`"),
        ({"event": None}, "event", "required"),
        ({"userId": None, "anonymousId": None}, "userId", "either user_id or session_id"),
        ({"messageId": "x" * 129}, "messageId", "at most 128"),
        ({"properties": []}, "properties", "expected an object"),
        ({"properties": {"price": "cheap"}}, "properties.price", "valid number"),
        ({"properties": {"products": [{}]}}, "properties.products", "an event for each product"),
        ({"event": "Products Searched", "properties": {}}, "properties.query", "needs it"),
        ({"timestamp": "1st of May"}, "timestamp", "ISO 8601"),
    ],
)
def test_what_segment_cannot_mean_is_said_in_its_words(change: dict[str, Any], field: str, reason: str) -> None:
    found = SEGMENT.read(TRACK | change, time.time())
    assert isinstance(found, Rejected) and found.field == field and reason in found.reason


def post(home: toy.Gateway, path: str, body: Any) -> list[dict[str, Any]]:
    answer = home.http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    told: list[dict[str, Any]] = answer.json()["events"]
    return told


def test_they_count_once_and_change_the_next_page(home: toy.Gateway) -> None:
    click = json.loads(json.dumps(CLICK)) | {"user_id": "ubi-1"}
    click["event_attributes"]["object"]["object_id"] = "i20"
    wrong = {"action_name": "click", "timestamp": "x"}
    explained = post(home, "/ubi_events:validate", [click, wrong])
    assert [answer["status"] for answer in explained] == ["valid", "rejected"]
    assert home.page(user_id="ubi-1")["profile_version"] == 0
    assert [answer["status"] for answer in post(home, "/ubi_events", [click, wrong, click])] == [
        "accepted",
        "rejected",
        "duplicate",
    ]
    assert post(home, "/ubi_events", click)[0]["status"] == "duplicate"
    assert toy.row(home.page(user_id="ubi-1", k=2), "for_you") == ["i19", "i21"]
    # `impression` is what was seen, not what was done: the item may come again.
    seen = click | {"action_name": "impression"}
    seen["event_attributes"] = {"object": {"object_id": "i19"}}
    assert post(home, "/ubi_events", seen)[0] == {
        "event_id": UBI.translate(seen)["event_id"], "status": "accepted", "version": 1
    }  # fmt: skip
    assert toy.row(home.page(user_id="ubi-1", k=2), "for_you") == ["i19", "i21"]

    track = TRACK | {"userId": "segment-1", "messageId": "segment-1"}
    track["properties"] = {"product_id": "i20"}
    assert post(home, "/v1/track:validate", track)[0]["status"] == "valid"
    assert post(home, "/v1/track", track)[0]["status"] == "accepted"
    assert [a["status"] for a in post(home, "/v1/batch", {"batch": [track, {"messageId": "m"}], "sentAt": "x"})] == [
        "duplicate",
        "rejected",
    ]
    assert post(home, "/v1/batch", {"batch": [{"messageId": "m"}]})[0]["event_id"] == "m"
    assert toy.row(home.page(user_id="segment-1", k=2), "for_you") == ["i19", "i21"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/ubi_events", "[]"),
        ("/ubi_events", "5"),
        ("/v1/track", "[]"),
        ("/v1/batch", "{}"),
        ("/v1/batch", '{"batch": []}'),
    ],
)
def test_a_body_without_events_is_refused(path: str, body: str, home: toy.Gateway) -> None:
    answer = home.http.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422 and answer.json().keys() == {"field", "reason"}


def test_segment_s_libraries_say_their_key_in_their_own_way(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    (tmp_path / "keys.yaml").write_text("shop: {key: shop-0123456789abcdef, scopes: [events]}\n")
    with toy.gateway(tmp_path, "--api-keys", str(tmp_path / "keys.yaml")) as gateway:

        def status(said: bytes) -> int:
            headers = {"authorization": f"Basic {base64.b64encode(said).decode()}"}
            return gateway.http.post("/v1/track", json=TRACK, headers=headers).status_code

        assert [status(said) for said in (b"shop-0123456789abcdef:", b"shop:", b"\xff")] == [200, 401, 401]
