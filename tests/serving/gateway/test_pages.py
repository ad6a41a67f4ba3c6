"""Pages of a running gateway: what is on them, what never is, and how an event changes the next one."""

from __future__ import annotations

import concurrent.futures
import time

import pytest

from tests.serving.gateway.toy import IDS, LATE, Gateway, items, row


def test_a_page_has_its_rows_in_order_and_no_item_twice(home: Gateway) -> None:
    page = home.page(user_id="fan", k=3)
    assert {row["id"]: [card["item_id"] for card in row["cards"]] for row in page["rows"]} == {
        "for_you": ["i09", "i11", "i08"],  # Nearest to i10, which the data knows of.
        "because": ["i12", "i07", "i13"],  # The same list, as far as it is not shown yet.
        "new": ["i32", "i31"],
        "near_taste": ["i01", "i02", "i03"],  # Dramas; i12 and i11 are more popular, and on the page already.
        "editors": ["i36", "i35"],
    }
    assert page["served_by"] == "fused" and page["model_version"] == 1 and page["age_ms"] < 5_000
    reasons = {row["id"]: row["reason"] for row in page["rows"]}
    assert reasons["for_you"] == {"code": "history"}
    assert reasons["because"] == {"code": "because", "item_id": "i10", "title": "Title of i10"}
    assert reasons["near_taste"] == {"code": "near_taste", "tags": ["drama"]}


def test_cards_are_complete(home: Gateway) -> None:
    card = home.page(user_id="fan", k=1)["rows"][0]["cards"][0]
    told = {name: card.pop(name) for name in ("probability", "probability_deviation")}
    assert told == pytest.approx({"probability": 0.468791, "probability_deviation": 0.249026}, abs=1e-6)
    assert card == {
        "item_id": "i09",
        "title": "Title of i09",
        "categories": ["drama"],
        "picture": "https://pictures.test/i09.jpg",
        "price": 8.5,
        "score": -1.0,
        "found_by": "fused",
    }


def test_an_event_changes_the_very_next_page(home: Gateway) -> None:
    assert home.did("next-1", "reader", "view", "i20")["version"] == 1
    page = home.page(user_id="reader", k=2)
    assert page["profile_version"] == 1
    assert row(page, "for_you") == ["i19", "i21"] and row(page, "because") == ["i18", "i22"]
    assert home.did("next-2", "reader", "view", "i30")["version"] == 2
    page = home.page(user_id="reader", k=2)
    assert row(page, "for_you") == ["i29", "i31"] and "i20" not in items(page)


def test_every_acknowledged_event_is_in_the_page_under_concurrency(home: Gateway) -> None:
    def click_and_look(n: int) -> None:
        item = IDS[n % 38]
        version = home.did(f"many-{n}", f"many-{n % 7}", "view", item)["version"]
        page = home.page(user_id=f"many-{n % 7}", k=5)
        assert page["profile_version"] >= version and item not in items(page)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(click_and_look, range(80)))


@pytest.mark.parametrize("kind", ["hide", "not_for_me"])
def test_what_is_hidden_never_comes_back_until_it_is_undone(home: Gateway, kind: str) -> None:
    user = f"hider-{kind}"
    home.did(f"{user}-0", user, "view", "i20")
    home.did(f"{user}-1", user, kind, "i21")
    page = home.page(user_id=user, k=2)
    assert row(page, "for_you") == ["i19", "i18"] and "i21" not in items(home.page(user_id=user, k=50))
    home.did(f"{user}-2", user, "undo", "i21")
    assert row(home.page(user_id=user, k=2), "for_you") == ["i19", "i21"]


def test_not_for_me_takes_a_category_off_the_rows_near_a_taste(home: Gateway) -> None:
    for n, item in enumerate(["i01", "i38"]):  # A drama and a comedy.
        home.did(f"taste-{n}", "taste", "view", item)
    near = row(home.page(user_id="taste", k=3), "near_taste")
    assert {int(item[1:]) <= 20 for item in near} == {True, False}
    home.did("taste-2", "taste", "not_for_me", "i37")  # Comedy: 1 - 3 = -2.
    assert all(int(item[1:]) <= 20 for item in row(home.page(user_id="taste", k=3), "near_taste"))


def test_scrolling_reaches_every_item_once_and_then_ends(home: Gateway) -> None:
    page = home.page(user_id="fan", k=4)
    shown = items(page)
    while page["rows"]:
        page = home.page(user_id="fan", k=4, after=page["impression_id"])
        assert len(page["rows"]) <= 1 and all(row["id"] == "more" for row in page["rows"])
        shown += items(page)
    assert sorted(shown) == [item for item in IDS if item not in {"i10", *LATE}]


def test_an_event_while_scrolling_brings_no_repeat(home: Gateway) -> None:
    page = home.page(session_id="scroller", k=3)
    shown = items(page)
    for n in range(5):
        home.did(f"scroll-{n}", "session-x", "view", "i02")
        home.did(f"scroll-b{n}", "scroller-2", "view", f"i{n + 20}")
        home.send({"event_id": f"scroll-c{n}", "session_id": "scroller", "type": "view", "item_id": f"i{30 - n}"})
        page = home.page(session_id="scroller", k=3, after=page["impression_id"])
        assert not set(items(page)) & {*shown, *(f"i{30 - m}" for m in range(n + 1))}
        shown += items(page)


def test_a_page_of_somebody_else_cannot_be_scrolled_on(home: Gateway) -> None:
    page = home.page(user_id="fan")
    answer = home.http.get("/v1/page", params={"user_id": "other-1", "after": page["impression_id"]})
    assert answer.status_code == 404 and answer.json()["field"] == "after"


def test_a_stranger_gets_a_full_page_and_a_session_to_go_on_with(home: Gateway) -> None:
    page = home.page(k=3)
    assert row(page, "for_you") == ["i01", "i02", "i03"] and page["rows"][0]["reason"] == {"code": "popular"}
    again = home.page(k=3, session_id=page["session_id"], after=page["impression_id"])
    assert items(again) and not set(items(again)) & set(items(page))


def test_log_in_takes_the_session_along_once(home: Gateway) -> None:
    home.did("guest-1", "session-1", "view", "i20")
    for moved in (1, 0):
        answer = home.http.post("/v1/login", json={"session_id": "session-1", "user_id": "newcomer"})
        assert answer.json() == {"moved": moved}
    assert row(home.page(user_id="newcomer", k=2), "for_you") == ["i19", "i21"]
    assert row(home.page(session_id="session-1", k=2), "for_you") == ["i01", "i02"]


def test_without_personalisation_a_page_is_a_stranger_s_without_what_was_seen(home: Gateway) -> None:
    home.did("plain-1", "plain", "view", "i20")
    home.did("plain-2", "plain", "hide", "i02")
    home.did("plain-3", "plain", "settings", settings={"personalised": False})
    page = home.page(user_id="plain", k=3)
    assert row(page, "for_you") == ["i01", "i03", "i04"] and not row(page, "because")
    assert not {"i20", "i02"} & set(items(home.page(user_id="plain", k=50)))
    home.did("plain-4", "plain", "settings", settings={"personalised": True})
    assert row(home.page(user_id="plain", k=2), "for_you") == ["i19", "i21"]


def test_what_is_not_available_yet_is_on_no_page(home: Gateway) -> None:
    home.did("late-1", "late", "view", "i38")  # Nearest: i37, and i39, which comes in 2061.
    assert row(home.page(user_id="late", k=2), "for_you") == ["i37", "i36"]
    assert not {*LATE} & set(items(home.page(user_id="late", k=50)))


def test_a_profile_can_be_seen_and_deleted(home: Gateway) -> None:
    now = int(time.time())
    home.did("mine-1", "mine", "like", "i20", at=now)
    home.did("mine-2", "mine", "search", query="coffee")
    profile = home.http.get("/v1/profile", params={"user_id": "mine"}).json()
    assert profile["version"] == 2 and profile["recent"] == [
        {"item_id": "i20", "type": "like", "value": None, "at": now}
    ]
    assert profile["tags"]["categories:drama"] == pytest.approx(3, abs=0.01)
    assert profile["tags"]["word:coffee"] == pytest.approx(1, abs=0.01)
    home.did("mine-3", "mine", "remove_tag", tag="word:coffee")
    assert "word:coffee" not in home.http.get("/v1/profile", params={"user_id": "mine"}).json()["tags"]
    assert home.http.delete("/v1/profile", params={"user_id": "mine"}).json() == {"removed": 3}
    assert home.http.get("/v1/profile", params={"user_id": "mine"}).json()["version"] == 0


def test_the_list_of_an_unchanged_profile_is_not_asked_for_twice(home: Gateway) -> None:
    first = home.page(user_id="calm", k=2)
    again = home.page(user_id="calm", k=2)
    assert again["age_ms"] >= first["age_ms"] and items(again) == items(first)
    assert again["impression_id"] != first["impression_id"]
