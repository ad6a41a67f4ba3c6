"""What is sent as an event: answered one by one, never with a 5xx, never half stored."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homefeed.serving.gateway.schema import EventIn, read_event
from tests.serving.gateway.toy import Gateway

GOOD = {"event_id": "e", "user_id": "u", "type": "view", "item_id": "i01"}


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"event_id": ""}, "event_id", "at least 1 character"),
        ({"event_id": "x" * 129}, "event_id", "at most 128 characters"),
        ({"event_id": None}, "event_id", "valid string"),
        ({"user_id": "a\nb"}, "user_id", "control characters"),
        ({"user_id": "guest:1"}, "user_id", "send guests by `session_id`"),
        ({"session_id": "s"}, "user_id", "either user_id or session_id"),
        ({"user_id": None}, "user_id", "either user_id or session_id"),
        ({"type": "like", "item_id": None}, "item_id", "of type like needs it"),
        ({"type": "search"}, "query", "of type search needs it"),
        ({"type": "settings"}, "settings", "of type settings needs it"),
        ({"settings": {"theme": "x"}}, "settings.theme", "Extra inputs"),
        ({"at": 1_900_000_000_000}, "at", "less than or equal"),
        ({"at": int(time.time()) + 5_000}, "at", "seconds in the future"),
        ({"value": float("nan")}, "value", "finite number"),
        ({"value": "5 stars"}, "value", "valid number"),
        ({"position": -1}, "position", "greater than or equal to 0"),
        ({"item_id": "\ud800"}, "item_id", "valid string"),
        ({"features": {f"f{n}": 1 for n in range(33)}}, "features", "at most 32"),
        ({"itemid": "i01"}, "itemid", "Extra inputs"),
    ],
)
def test_a_wrong_event_is_answered_with_field_and_reason(change: dict[str, Any], field: str, reason: str) -> None:
    found = read_event({**GOOD, **change}, time.time())
    assert not isinstance(found, EventIn)
    assert found.field == field and reason in found.reason


def test_each_event_has_an_answer_of_its_own(home: Gateway) -> None:
    events = [
        {**GOOD, "event_id": "own-1", "type": "播放", "item_id": "没有"},
        {**GOOD, "event_id": "own-1"},
        {**GOOD, "event_id": "own-2", "value": "x"},
        "no event",
        {"event_id": "own-3", "session_id": "s", "type": "play"},
    ]
    answers = home.send(*events)
    assert [answer["status"] for answer in answers] == ["accepted", "duplicate", "rejected", "rejected", "accepted"]
    assert answers[2] | {"reason": ""} == {"event_id": "own-2", "status": "rejected", "field": "value", "reason": ""}
    assert answers[0]["version"] == answers[1]["version"]


def test_what_is_explained_is_not_stored(home: Gateway) -> None:
    body = {"events": [{**GOOD, "event_id": "explain", "user_id": "explained"}, {"type": "view"}]}
    answers = home.http.post("/v1/events:validate", json=body).json()["events"]
    assert [answer["status"] for answer in answers] == ["valid", "rejected"]
    assert home.http.get("/v1/profile", params={"user_id": "explained"}).json()["version"] == 0
    assert home.send(*body["events"])[0]["status"] == "accepted"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"events": []}', 422),
        (json.dumps({"events": [GOOD] * 501}).encode(), 422),
        (b'{"events": [{}], "more": 1}', 422),
        (b'{"events": "\\ud800"}', 422),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (b'{"events": ["' + b"x" * (1 << 20) + b'"]}', 413),
    ],
)
def test_a_body_that_holds_no_events_is_refused(home: Gateway, body: bytes, status: int) -> None:
    answer = home.http.post("/v1/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"field", "reason"}


def test_what_is_not_served_is_refused_alike_and_says_what_is(home: Gateway) -> None:
    answer = home.http.post("/v1/profile")
    assert answer.status_code == 405 and answer.headers["allow"] == "GET, DELETE"
    assert answer.json() == {"field": "request", "reason": "Method Not Allowed"}
    assert home.http.post("/static/home.css").headers["allow"] == "GET"
    assert home.http.get("/v2/page").json() == {"field": "request", "reason": "Not Found"}


def test_another_site_s_form_cannot_send_events(home: Gateway) -> None:
    body = json.dumps({"events": [{**GOOD, "event_id": "forged", "user_id": "forged"}]})
    answer = home.http.post("/v1/events", content=body, headers={"content-type": "text/plain"})
    assert answer.status_code == 422
    assert home.http.get("/v1/page", headers={"host": "evil.test"}).status_code == 400
    assert home.http.get("/v1/profile", params={"user_id": "forged"}).json()["version"] == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from([*EventIn.model_fields, "more"])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(FIELDS, JSON), max_size=4), whole=st.none() | JSON)
def test_odd_events_are_answered(home: Gateway, changes: list[tuple[str, Any]], whole: Any) -> None:
    events = [{**GOOD, "event_id": str(changes)[:100], **dict(changes)}, whole]
    body = json.dumps({"events": events})
    answer = home.http.post("/v1/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    for told in answer.json()["events"]:
        assert told["status"] in {"accepted", "duplicate"} or (told["field"] and told["reason"])
