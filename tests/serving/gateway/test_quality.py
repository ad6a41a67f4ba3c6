"""The click rate while pages are served: exact, however often something is told."""

from __future__ import annotations

import collections
import re

from tests.serving.gateway.toy import Gateway, row


def counted(home: Gateway) -> collections.Counter[tuple[str, str]]:
    """(Fact, row) → cards of the surface `home`, of all model versions."""
    text, cards = home.http.get("/metrics").text, collections.Counter[tuple[str, str]]()
    for said, count in re.findall(r"^homefeed_cards_total\{(.*?)\} (\S+)$", text, re.MULTILINE):
        labels = dict(re.findall(r'(\w+)="(.*?)"', said))
        if labels["surface"] == "home":
            cards[labels["fact"], labels["row"]] += int(float(count))
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
    told = {
        fact: after[fact, "for_you"] - before.get((fact, "for_you"), 0) for fact, name in after if name == "for_you"
    }
    assert told == {"served": 4, "seen": 4, "acted": 2, "liked": 1, "hidden": 1}
