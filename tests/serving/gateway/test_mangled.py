"""Events that were mangled on the way, in every dialect: never a 5xx, each taken, or refused by field and reason."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.serving.gateway import toy
from tests.serving.gateway.test_dialects import CLICK, QUERY, TRACK

OWN = {
    "event_id": "e",
    "user_id": "u",
    "type": "like",
    "item_id": "i01",
    "at": 1_700_000_000,
    "value": 4.5,
    "query": "tea",
    "tag": "word:tea",
    "token": "t.t.t",
    "impression_id": "p",
    "position": 3,
    "settings": {"personalised": True, "language": "zh"},
    "features": {"device": "phone", "price": 2.5},
}
ODD = [
    *(None, True, 0, -1, 1.5, 2**31, 2**63, 2**70, -(2**70), 1e308, float("nan"), float("inf"), "NaN", "true"),
    *("", " ", "\x00", "\ud800", "\udfff\ud800", "\u202e", "%00", "ü" * 200, "🙂" * 600, "a" * 5_000),
    *("guest:x", "1970-01-01T00:00:00Z", "0000-13-45", "9999-12-31T23:59:59Z", "'; DROP TABLE events; --"),
    *([], [[]], {}, {"": {}}, [None] * 50, {"a": {"a": {"a": {"a": "a"}}}}),
]
KINDS = ["like", "hide", "not_for_me", "undo", "search", "settings", "remove_tag", "impression", "view", "播放"]


def mangled(draw: random.Random, original: Any) -> Any:
    """With one to four changes, anywhere in it."""
    event = copy.deepcopy(original)
    if "type" in event and draw.random() < 0.7:
        event["type"] = draw.choice(KINDS)
    for _ in range(draw.randrange(1, 5)):
        place, way = event, draw.random()
        while isinstance(place, dict) and place:
            name = draw.choice(list(place))
            if isinstance(place[name], dict) and draw.random() < 0.6:
                place = place[name]
                continue
            if way < 0.5:
                place[name] = draw.choice(ODD)
            elif way < 0.7:
                del place[name]
            elif way < 0.8:
                place[str(draw.choice(ODD))] = place.pop(name)
            elif way < 0.9:
                place[str(draw.choice(ODD))] = draw.choice(ODD)
            else:
                place[name] = [place[name]]
            break
    return event if draw.random() < 0.97 else draw.choice(ODD)


DIALECTS: list[tuple[str, list[dict[str, Any]], Callable[[list[Any]], Any]]] = [
    ("/v1/events", [OWN], lambda events: {"events": events}),
    ("/ubi_events", [CLICK, QUERY], lambda events: events),
    ("/v1/batch", [TRACK], lambda events: {"batch": events}),
]


@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_mangled_events_are_answered(home: toy.Gateway, count: int) -> None:
    draw, told = random.Random(count), Counter[str]()
    for call in range(count // 250):
        path, originals, body = DIALECTS[call % 3]
        name = "messageId" if path == "/v1/batch" else "event_id"
        named = [draw.choice(originals) | {name: f"m{count}-{call}-{n}"} for n in range(250)]
        events = [mangled(draw, one) for one in named]
        sent = json.dumps(body(events))
        answer = home.http.post(path, content=sent, headers={"content-type": "application/json"})
        if answer.status_code == 413:  # Half of it is small enough.
            told["413"] += 1
            continue
        assert answer.status_code == 200, (answer.status_code, answer.text, path)
        answers = answer.json()["events"]
        assert len(answers) == len(events)
        for event, one in zip(events, answers, strict=True):
            told[one["status"]] += 1
            assert one["status"] in ("accepted", "duplicate") or (one["field"] and one["reason"]), (event, one)
    assert told["accepted"] > count / 10 and told["rejected"] > count / 10 and told["413"] < count / 250 / 10
    assert home.page(user_id="u", k=5)["rows"] and home.http.get("/me.json?user_id=u").status_code == 200


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mangled_bodies_are_answered(home: toy.Gateway, count: int) -> None:
    """Bytes that are lost, doubled or others."""
    draw, statuses = random.Random(count), Counter[int]()
    for call in range(count):
        path, originals, body = DIALECTS[call % 3]
        sent = bytearray(json.dumps(body([draw.choice(originals)]), ensure_ascii=False).encode())
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(sent))
            others = [b"", bytes([draw.randrange(256)]), bytes(sent[: at // 9])]
            sent[at : at + draw.randrange(3)] = draw.choice(others)
        answer = home.http.post(path, content=bytes(sent), headers={"content-type": "application/json"})
        statuses[answer.status_code] += 1
        assert answer.status_code in (200, 400, 422), (answer.text, bytes(sent))
        if answer.status_code != 200:
            assert answer.json()["field"] and answer.json()["reason"]
    assert len(statuses) >= 2, statuses
