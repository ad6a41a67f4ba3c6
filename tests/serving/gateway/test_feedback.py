"""What users say acts at once, and as they said it: in any order, twice, late, many times, before they log in."""

from __future__ import annotations

import time
from typing import Any

import pytest

from homefeed.serving.profiles.live import MAX_BYTES, MAX_RECENT
from tests.serving.gateway.toy import Gateway, items, row


def profile(home: Gateway, **who: str) -> dict[str, Any]:
    found: dict[str, Any] = home.http.get("/v1/profile", params=who).json()
    return found


def log_in(home: Gateway, session: str, user: str) -> int:
    answer = home.http.post("/v1/login", json={"session_id": session, "user_id": user})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["moved"])


@pytest.mark.parametrize(
    ("kinds", "shown"),
    [
        (["hide"], False),
        (["hide", "undo"], True),
        (["hide", "undo", "hide"], False),
        (["hide", "undo", "hide", "undo"], True),
        (["undo", "hide"], False),
        (["not_for_me", "undo", "undo"], True),
        (["hide", "not_for_me", "undo"], False),  # Said twice, taken back once.
        (["like", "hide", "undo"], False),  # Liked: it was seen.
        (["hide", "like", "undo"], False),  # The like is taken back.
    ],
)
def test_every_word_counts_at_once(home: Gateway, kinds: list[str], shown: bool) -> None:
    user = "-".join(kinds)
    for n, kind in enumerate(kinds):
        page = home.page(user_id=user, k=50)
        home.did(f"{user}-{n}", user, kind, "i25")
        # The same answer comes again from every rung and from what is kept: the profile is another one.
        assert home.page(user_id=user, k=50)["profile_version"] == page["profile_version"] + 1
    assert ("i25" in items(home.page(user_id=user, k=50))) is shown


def test_what_is_hidden_stays_hidden_however_much_follows(home: Gateway) -> None:
    """A profile remembers what fits; the log knows the rest."""
    home.did("long-0", "long", "hide", "i25")
    others = [f"{n}" * 30 for n in range(1, 300)]
    home.send(*({"event_id": item, "user_id": "long", "type": "hide", "item_id": item} for item in others))
    assert "i25" not in profile(home, user_id="long")["hidden"]
    assert "i25" not in items(home.page(user_id="long", k=50))
    home.did("long-undo", "long", "undo", "i25")
    assert "i25" in items(home.page(user_id="long", k=50))


def test_events_weigh_what_they_say(home: Gateway) -> None:
    weights = {"view": 1, "like": 3, "purchase": 4, "hide": -1, "not_for_me": -3, "播放": 1}
    for kind, weight in weights.items():
        home.did(f"weigh-{kind}", f"weigh-{kind}", kind, "i25")
        tags = profile(home, user_id=f"weigh-{kind}")["tags"]
        assert tags["categories:comedy"] == pytest.approx(weight, abs=0.01)
        home.did(f"weigh-{kind}-undo", f"weigh-{kind}", "undo", "i25")
        is_feedback = kind in ("like", "hide", "not_for_me")
        assert ("categories:comedy" in profile(home, user_id=f"weigh-{kind}")["tags"]) is not is_feedback


def test_five_hundred_events_of_one_user_in_a_call(home: Gateway) -> None:
    had = [f"i{n % 30 + 1:02}" for n in range(500)]
    events = [{"event_id": f"much-{n}", "user_id": "much", "type": "view", "item_id": i} for n, i in enumerate(had)]
    assert [answer["version"] for answer in home.send(*events)] == list(range(1, 501))
    found = profile(home, user_id="much")
    assert found["version"] == 500 and 1 <= len(found["recent"]) <= MAX_RECENT and len(str(found)) < 5 * MAX_BYTES
    assert found["recent"][-1]["item_id"] == events[-1]["item_id"]
    assert not {f"i{n:02}" for n in range(1, 31)} & set(items(home.page(user_id="much", k=50)))
    assert {answer["status"] for answer in home.send(*events)} == {"duplicate"}
    assert profile(home, user_id="much") == found


def test_late_and_early_events(home: Gateway) -> None:
    now = int(time.time())
    home.did("when-1", "when", "view", "i20", at=now)
    home.did("when-2", "when", "view", "i30", at=now - 86_400)  # It was offline: the newest is still i20.
    assert row(home.page(user_id="when", k=2), "for_you") == ["i19", "i21"]
    assert [recent["item_id"] for recent in profile(home, user_id="when")["recent"]] == ["i30", "i20"]
    home.did("when-3", "when", "like", "i05", at=1)  # Of 1970: an interest that has faded, and seen.
    assert "categories:drama" in profile(home, user_id="when")["tags"]
    assert profile(home, user_id="when")["tags"]["categories:drama"] < 1.01
    assert "i05" not in items(home.page(user_id="when", k=50))
    assert home.did("when-4", "when", "view", "i10", at=now + 200)["status"] == "accepted"  # Clocks differ.
    early = home.did("when-5", "when", "view", "i11", at=now + 4_000)
    assert early["status"] == "rejected" and early["field"] == "at"
    for at in (0, -1, 2**40):
        assert home.did(f"when-{at}", "when", "view", "i11", at=at)["field"] == "at"
    assert row(home.page(user_id="when", k=2), "for_you") == ["i09", "i11"]


def test_a_guest_becomes_a_user_once_and_then_is_a_guest_again(home: Gateway) -> None:
    home.did("merge-0", "merged", "view", "i10")
    home.did("merge-1", "session-merge", "hide", "i25")
    home.did("merge-2", "session-merge", "view", "i20")
    page = home.page(session_id="session-merge", k=3)
    assert [log_in(home, "session-merge", "merged") for _ in range(3)] == [2, 0, 0]
    assert "i25" not in items(home.page(user_id="merged", k=50))
    assert (
        profile(home, user_id="merged")["version"] == 3 and profile(home, session_id="session-merge")["version"] == 0
    )
    more = home.page(user_id="merged", k=3, after=page["impression_id"])  # The guest's page is scrolled on.
    assert items(more) and not set(items(more)) & set(items(page))
    # The same browser after log-out: what was merged is not merged again, what is new is.
    assert home.did("merge-2", "session-merge", "view", "i20")["status"] == "duplicate"
    home.did("merge-3", "session-merge", "view", "i30")
    assert [log_in(home, "session-merge", "merged-other") for _ in range(2)] == [1, 0]
    assert profile(home, user_id="merged-other")["version"] == 1
    home.did("merge-4", "session-other", "undo", "i25")
    assert log_in(home, "session-other", "merged") == 1
    assert "i25" in items(home.page(user_id="merged", k=50))
    assert log_in(home, "session-never", "merged") == 0
