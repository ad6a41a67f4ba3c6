"""The click rate while pages are served: exact, however often something is told."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterator

from tests.serving.gateway.toy import NEW, Gateway, items, row


def told(home: Gateway, counter: str) -> Iterator[tuple[dict[str, str], int]]:
    """Labels and count of each series."""
    text = home.http.get("/metrics").text
    for said, count in re.findall(rf"^{counter}\{{(.*?)\}} (\S+)$", text, re.MULTILINE):
        yield dict(re.findall(r'(\w+)="(.*?)"', said)), int(float(count))


def counted(home: Gateway) -> collections.Counter[tuple[str, str]]:
    """(Fact, row) → cards of the surface `home`, of all model versions."""
    cards = collections.Counter[tuple[str, str]]()
    for labels, count in told(home, "homefeed_cards_total"):
        if labels["surface"] == "home":
            cards[labels["fact"], labels["row"]] += count
    return cards


def in_groups(home: Gateway) -> collections.Counter[tuple[str, str, str]]:
    """(Fact, by, group) → cards, of all model versions."""
    cards = collections.Counter[tuple[str, str, str]]()
    for labels, count in told(home, "homefeed_group_cards_total"):
        cards[labels["fact"], labels["by"], labels["group"]] += count
    return cards


def test_seen_three_times_and_clicked_twice_is_one_of_each(home: Gateway) -> None:
    before = counted(home)
    page = home.page(user_id="counted", k=4)
    cards, token = row(page, "for_you"), page["token"]
    for number in range(3):
        for item in cards[:3]:
            home.did(f"q-seen-{item}-{number}", "counted", "impression", item, token=token)
        home.did(f"q-seen-{cards[0]}", "counted", "impression", cards[0], token=token)
        home.did(f"q-click-{number}", "counted", "view", cards[0], token=token)
    home.did("q-like", "counted", "like", cards[1], token=token)
    home.did("q-hide", "counted", "hide", cards[3], token=token)
    home.did("q-forged", "counted", "view", cards[2], token=token[:-8] + "A" * 8)
    home.did("q-elsewhere", "counted", "view", cards[2])
    after = counted(home)
    told_now = {
        fact: after[fact, "for_you"] - before.get((fact, "for_you"), 0) for fact, name in after if name == "for_you"
    }
    assert told_now == {"served": 4, "seen": 4, "acted": 2, "liked": 1, "hidden": 1}


def test_newcomers_are_told_apart_from_who_did_something(home: Gateway) -> None:
    before = in_groups(home)
    first = home.page(user_id="comer", k=4)
    shown = items(first)
    old = next(item for item in shown if item in NEW)  # New in 2017.
    home.did("g-buy", "comer", "purchase", old, token=first["token"])
    second = home.page(user_id="comer", k=3)
    undated = next(item for item in items(second) if item not in NEW)
    home.did("g-hide", "comer", "hide", undated, token=second["token"])
    found = in_groups(home) - before
    num_dated = sum(item in NEW for item in shown + items(second))
    num_shown = len(shown) + len(items(second))
    assert found == {
        ("served", "reader", "new"): len(shown),
        ("served", "reader", "known"): len(items(second)),
        ("served", "age", "older"): num_dated,
        ("served", "age", "undated"): num_shown - num_dated,
        ("served", "language", "none"): num_shown,
        **{(fact, "reader", "new"): 1 for fact in ("seen", "acted", "bought")},
        **{(fact, "age", "older"): 1 for fact in ("seen", "acted", "bought")},
        **{(fact, "reader", "known"): 1 for fact in ("seen", "hidden")},
        **{(fact, "age", "undated"): 1 for fact in ("seen", "hidden")},
        **{
            (fact, "language", "none"): count
            for fact, count in {"seen": 2, "acted": 1, "bought": 1, "hidden": 1}.items()
        },
    }


def test_who_turns_personalisation_off_is_no_newcomer(home: Gateway) -> None:
    home.did("g-view", "plain", "view", "i03")
    home.did("g-off", "plain", "settings", settings={"personalised": False})
    before = in_groups(home)
    page = home.page(user_id="plain", k=2)
    assert (in_groups(home) - before)["served", "reader", "known"] == len(items(page))
