"""Pages that were served: recorded with what they were made from, proved by a token, and not kept for ever."""

from __future__ import annotations

import contextlib
import json
import pathlib
import sqlite3
import subprocess
import time
from typing import Any

import pytest

from homefeed.serving.feedback.attribution import attribute
from homefeed.serving.gateway.impressions import Impressions
from homefeed.serving.profiles import Exposure, LiveStore
from homefeed.serving.profiles.transaction import KEPT_SECONDS
from tests.serving.gateway import toy
from tests.serving.servers import eventually

SECRET = b"0123456789abcdef"


def rows(path: pathlib.Path, query: str, *values: Any) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute(query, values).fetchall()


def test_a_page_is_recorded_with_what_it_was_made_from(nearest: Any, tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    with toy.gateway(tmp_path) as gateway:
        page = gateway.page(user_id="fan", k=3, query="title")
        more = gateway.page(user_id="fan", k=3, after=page["impression_id"])
        gateway.stop()
    found = rows(tmp_path / "serving" / "live.sqlite", "SELECT impression_id, user_id, after, page FROM exposures")
    assert [one[:3] for one in found] == [
        (page["impression_id"], "fan", ""),
        (more["impression_id"], "fan", page["impression_id"]),
    ]
    for answered, recorded in zip((page, more), (json.loads(one[3]) for one in found), strict=True):
        same = (
            "impression_id",
            "served_by",
            "age_ms",
            "profile_version",
            "model_version",
            "surface",
            "rules_version",
        )
        assert {name: answered[name] for name in same} == {name: recorded[name] for name in same}
        assert recorded["rows"] == [
            {
                "id": row["id"],
                "items": [card["item_id"] for card in row["cards"]],
                "found_by": [card["found_by"] for card in row["cards"]],
            }
            for row in answered["rows"]
        ]
        assert recorded["k"] == 3 and len(recorded["scores"]) == len(recorded["candidates"])
        assert recorded["arms"] == {} and recorded["seed"] is None
        assert len(set(recorded["candidates"])) == len(recorded["candidates"]) >= 3
        assert "token" not in recorded


def test_an_event_belongs_to_a_page_that_has_its_item_and_place(tmp_path: pathlib.Path) -> None:
    """Also where another gateway made the page; without an item, and on a page that is no longer kept, as before."""
    toy.publish(tmp_path / "serving", {})
    with toy.gateway(tmp_path) as gateway, toy.gateway(tmp_path) as other:
        page = gateway.page(user_id="u", k=3)
        shown = toy.items(page)
        absent = next(item for item in toy.IDS if item not in shown)
        said: dict[str, tuple[dict[str, Any], bool]] = {
            "on it": ({"item_id": shown[0]}, True),
            "at its end": ({"item_id": shown[0], "position": len(shown) - 1}, True),
            "beyond its end": ({"item_id": shown[0], "position": len(shown)}, False),
            "not on it": ({"item_id": absent}, False),
            "of none": ({"type": "search", "query": "x"}, True),
            "elsewhere": ({"item_id": "no such item"}, False),
        }
        for number, way in enumerate(("token", "impression_id")):
            place = {way: page[way]}
            for which in (gateway, other):
                events = [
                    {"event_id": f"{number}-{which.port}-{name}", "user_id": "u", "type": "view", **fields, **place}
                    for name, (fields, _) in said.items()
                ]
                answers = [bool(answer.get("attributed")) for answer in which.send(*events)]
                assert answers == [is_proved for _, is_proved in said.values()], (way, which is other)
        gateway.send({"event_id": "buy", "user_id": "u", "type": "purchase", "item_id": absent})
    with contextlib.closing(LiveStore(tmp_path / "serving" / "live.sqlite")) as store:
        owed = attribute(store.events("u"))
    assert "buy" not in owed, "it was never shown: nothing is owed to the page"
    assert sum(key.endswith(("not on it", "elsewhere", "beyond its end")) for key in owed) == 0


def test_a_token_attributes_an_event_and_a_wrong_one_does_not(home: toy.Gateway) -> None:
    page = home.page(user_id="shown", k=3)
    other = home.page(user_id="another", k=3)
    forged = page["token"][:-8] + "A" * 8  # Of the last letter alone, some bits mean nothing.
    tokens = [page["token"], forged, other["token"], "no token", "ü.ü.ü", ""]
    events: list[dict[str, Any]] = [
        {
            "event_id": f"token-{n}",
            "user_id": "shown",
            "type": "view",
            "item_id": page["rows"][0]["cards"][0]["item_id"],
            "token": token,
            "position": n,
        }
        for n, token in enumerate(tokens)
    ]
    answers = home.send(*events)
    assert [answer["status"] for answer in answers] == ["accepted"] * 6
    assert [answer.get("attributed") for answer in answers] == [True, False, False, False, False, None]
    assert home.send(events[0])[0] == {
        "event_id": "token-0", "status": "duplicate", "version": 6, "attributed": True
    }  # fmt: skip
    stored = {event["event_id"]: event for event in home.http.get("/me.json", params={"user_id": "shown"}).json()}
    assert [stored[f"token-{n}"]["impression_id"] for n in range(3)] == [
        page["impression_id"],
        "unproved",
        "unproved",
    ]
    assert [stored[f"token-{n}"]["attributed"] for n in range(3)] == [True, False, False]


def test_a_page_s_id_proves_it_to_who_was_served_it(home: toy.Gateway) -> None:
    pages = [home.page(user_id=user, k=2) for user in ("has-id", "has-another")]
    (mine, other), item = (page["impression_id"] for page in pages), toy.items(pages[0])[0]
    said = [mine, other, "no-such-page", ""]
    events = [
        {"event_id": f"by-id-{n}", "user_id": "has-id", "type": "view", "item_id": item, "impression_id": page}
        for n, page in enumerate(said)
    ]
    assert [answer.get("attributed") for answer in home.send(*events)] == [True, None, None, None]
    # Who has the id and forges a token is not believed.
    assert not home.did("by-id-5", "has-id", "view", item, impression_id=mine, token="forged")["attributed"]


def test_a_guest_s_token_counts_after_they_logged_in(home: toy.Gateway) -> None:
    page = home.page(session_id="session-t", k=2)

    def attributed(event_id: str, user: str) -> bool:
        told = home.did(event_id, user, "view", toy.items(page)[0], token=page["token"])
        return bool(told["attributed"])

    assert not attributed("login-0", "logs-in")
    home.http.post("/v1/login", json={"session_id": "session-t", "user_id": "logs-in"})
    assert attributed("login-1", "logs-in") and not attributed("login-2", "somebody-else")


def test_the_page_s_own_buttons_bring_their_token_back(home: toy.Gateway) -> None:
    answer = home.http.get("/", params={"user_id": "presser"})
    fields = {name: answer.text.split(f'name="{name}" value="')[1].split('"')[0] for name in ("token", "impression")}
    item = answer.text.split('value="like:')[1].split('"')[0]
    done = home.http.post(
        "/act",
        data={**fields, "user_id": "presser", "act": f"like:{item}"},
        cookies={"homefeed_session": answer.cookies["homefeed_session"]},
    )
    assert done.status_code == 200
    (event,) = home.http.get("/me.json", params={"user_id": "presser"}).json()
    assert event["item_id"] == item and event["attributed"] and event["impression_id"]


def test_a_token_lasts_as_long_as_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    impressions, now = Impressions(SECRET), time.time()
    token = impressions.token("page-1", "u")
    assert impressions.read(token, "u") == ("page-1", True)
    assert impressions.read(token, "v") == ("page-1", False)
    assert Impressions(SECRET[::-1]).read(token, "u") is None
    monkeypatch.setattr(time, "time", lambda: now + KEPT_SECONDS + 5)
    assert impressions.read(token, "u") is None


def test_gateways_on_one_store_know_each_other_s_tokens_and_others_do_not(tmp_path: pathlib.Path) -> None:
    one, two = LiveStore(tmp_path / "one.sqlite"), LiveStore(tmp_path / "one.sqlite")
    other = LiveStore(tmp_path / "other.sqlite")
    assert one.secret == two.secret != other.secret and len(one.secret) == 32
    for store in (one, two, other):
        store.close()


def test_pages_that_are_too_many_or_too_old_are_deleted(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "live.sqlite"
    store = LiveStore(path, max_exposures=10)
    now = 1_700_000_000_000
    for n in range(25):
        store.record(Exposure(f"p{n}", "u", "", now + n, b"{}"))
    store.record(Exposure("last", "u", "", now + 25, b"{}")).result()
    kept = [found for (found,) in rows(path, "SELECT impression_id FROM exposures ORDER BY seq")]
    assert kept == [*(f"p{n}" for n in range(16, 25)), "last"]
    for n in range(6):  # Two go for each that comes, once they are older than that.
        store.record(Exposure(f"later-{n}", "u", "", now + 26 + KEPT_SECONDS * 1000 + n, b"{}")).result()
    kept = [found for (found,) in rows(path, "SELECT impression_id FROM exposures ORDER BY seq")]
    assert kept == [f"later-{n}" for n in range(6)]
    store.close()


def test_a_store_of_before_there_were_tokens_is_read(tmp_path: pathlib.Path) -> None:
    store = LiveStore(tmp_path / "live.sqlite")
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "live.sqlite")) as database:
        database.execute("ALTER TABLE events DROP COLUMN attributed")
        database.commit()
    store = LiveStore(tmp_path / "live.sqlite")
    assert list(store.events("u")) == []
    store.close()


def test_the_address_is_told_once_it_can_be_opened(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    with toy.gateway(tmp_path) as gateway:
        told = tmp_path / f"gateway-{gateway.port}.log"
        eventually(lambda: f"the home page on http://127.0.0.1:{gateway.port}" in told.read_text())
        command = [*toy.COMMAND, "--root", str(tmp_path), "--port", str(gateway.port)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert second.returncode and "address already in use" in second.stderr
        assert "home page on" not in second.stdout + second.stderr
