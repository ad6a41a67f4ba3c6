"""Served, seen and acted, joined: by tokens, by the last touch, however late and however often they are told."""

from __future__ import annotations

import dataclasses
import random

import pytest

from homefeed.serving.feedback.attribution import UNPROVED, WINDOW_SECONDS, attribute, joined, served
from homefeed.serving.profiles import LiveEvent

PAGE = {"impression_id": "p1", "rows": [{"id": "for_you", "items": ["a", "b", "c"], "found_by": ["fused"] * 3}]}
OTHER = {**PAGE, "impression_id": "p2"}


def event(name: str, kind: str, item: str = "a", at: int = 100, page: str = "", proved: bool = True) -> LiveEvent:
    return LiveEvent(name, "u", kind, at, item_id=item, impression_id=page, attributed=bool(page) and proved)


SEEN = event("seen", "impression", page="p1")


@pytest.mark.parametrize(
    ("action", "page"),
    [
        (event("e", "click", page="p1"), "p1"),
        (event("e", "click", page="p2"), "p2"),  # The token knows better than the last touch.
        (event("e", "purchase"), "p1"),
        (event("e", "purchase", at=100 + WINDOW_SECONDS), "p1"),
        (event("e", "purchase", at=101 + WINDOW_SECONDS), None),
        (event("e", "purchase", at=99), None),  # Before anything of it was seen.
        (event("e", "purchase", item="b"), None),
        (event("e", "click", page=UNPROVED, proved=False), None),  # A forged token is kept, and owed to nothing.
        (event("e", "search", item=""), None),
        (event("e", "impression"), None),  # Was seen, and nobody knows where.
        (event("e", "undo"), None),
    ],
)
def test_what_an_event_is_owed_to(action: LiveEvent, page: str | None) -> None:
    assert attribute([action, SEEN]).get("e") == page


def test_the_last_touch_counts_also_where_it_is_told_late() -> None:
    later = event("later", "impression", at=200, page="p2")
    assert attribute([event("e", "purchase", at=300), SEEN, later])["e"] == "p2"
    assert attribute([event("e", "purchase", at=150), SEEN, later])["e"] == "p1"


def test_what_became_of_cards() -> None:
    events = [SEEN, event("b", "impression", "b", page="p1"), event("c", "click", page="p1"), event("d", "purchase")]
    first, second = joined([served(PAGE), served(OTHER)], events, attribute(events))
    assert [(card.item_id, card.is_seen, card.acted) for card in first] == [
        ("a", True, ("click", "purchase")),
        ("b", True, ()),
        ("c", False, ()),
    ]
    assert {card.is_seen for card in second} == {None}, "nobody told of this page"
    assert [card.position for card in first] == [0, 1, 2]


def test_what_was_clicked_was_seen() -> None:
    click = [event("c", "click", "c", page="p1")]
    (cards,) = joined([served(PAGE)], click, attribute(click))
    assert [card.is_seen for card in cards] == [False, False, True]


def test_repeated_deliveries_in_any_order_change_nothing() -> None:
    events = [
        *(event(f"seen-{item}", "impression", item, page="p1") for item in "ab"),
        event("click", "click", page="p1"),
        event("buy", "purchase", at=200),
    ]
    once = attribute(events), joined([served(PAGE)], events, attribute(events))
    draw = random.Random(1)
    for _ in range(20):
        often = draw.sample([*events, *events, *events], 12)
        # Another id for the same fact: what was seen is a set.
        often.append(dataclasses.replace(events[0], event_id="again"))
        assert joined([served(PAGE)], often, attribute(often)) == once[1]
        assert once[0].items() <= attribute(often).items()


def test_cards_have_the_probability_that_was_recorded() -> None:
    rows = [
        {"id": "for_you", "items": ["a", "b"], "found_by": ["fused", "new"], "propensities": [0.25, 0.5]},
        {"id": "new", "items": ["c"], "found_by": ["new"]},
    ]
    cards = served({"impression_id": "p", "rows": rows})
    assert [(card.item_id, card.position, card.propensity) for card in cards] == [
        ("a", 0, 0.25),
        ("b", 1, 0.5),
        ("c", 2, 1.0),
    ]
