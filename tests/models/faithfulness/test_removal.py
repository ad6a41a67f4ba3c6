"""A request without some of its parts, and what an item loses by that."""

from __future__ import annotations

import pytest

from homefeed.models.faithfulness.removal import (
    HISTORY,
    QUERY,
    Part,
    drops,
    events_of,
    lead,
    parts_of,
    rivals_of,
    strengths,
    trials_of,
    without,
)
from homefeed.models.requests import Event, Request

ASKED = Request(
    "u",
    [Event("a", 1.0), Event("b"), Event("a", 5.0), Event("c")],
    {"age": 30.0, "language": "en"},
    timestamp=9,
    query_token_ids=[4, 5],
    context={"device": "phone"},
)


def test_parts_are_the_items_of_the_history_and_all_else_that_is_said_of_a_user() -> None:
    events = [Part("event", item) for item in "cab"]
    others = [HISTORY, Part("feature", "age"), Part("feature", "language"), Part("context", "device"), QUERY]
    assert parts_of(ASKED) == [*events, *others]
    assert events_of(ASKED, 2) == events[:2] and parts_of(Request("nobody")) == []


def test_a_part_goes_as_if_it_had_never_been_and_nothing_else_does() -> None:
    assert [event.item_id for event in without(ASKED, [Part("event", "a")]).history] == ["b", "c"]
    assert without(ASKED, [HISTORY]).history == ()
    assert without(ASKED, [Part("feature", "age")]).features == {"language": "en"}
    assert without(ASKED, [Part("context", "device")]).context == {}
    assert not without(ASKED, [QUERY]).query_token_ids
    assert without(ASKED, [Part("event", "age"), Part("feature", "a")]) == without(ASKED, ()) == ASKED
    assert without(ASKED, [QUERY]).timestamp == 9


def test_what_lifts_a_whole_list_is_no_loss_and_what_is_not_listed_counts_as_the_lowest() -> None:
    full = {"x": 3.0, "y": 2.0, "z": 1.0}
    lifted = {name: score + 10 for name, score in full.items()}
    assert drops(full, [lifted, {"y": 2.0, "z": 1.0}], "x", list(full)) == pytest.approx([0.0, 2.0])
    assert lead({}, "x", ["y"]) == 0.0 and lead({"x": 2.0}, "x", ["x"]) == 2.0


def test_rivals_are_the_events_that_are_missed_most() -> None:
    effects = {Part("event", f"e{n}"): float(n - 3) for n in range(14)} | {
        HISTORY: 99.0,
        Part("feature", "age"): 50.0,
    }
    assert [part.name for part in rivals_of(effects)] == [f"e{n}" for n in range(13, 5, -1)]
    assert rivals_of({Part("event", "a"): 0.0, Part("event", "b"): -1.0}) == []


def test_what_one_makes_up_for_another_counts_where_it_stands_alone() -> None:
    a, b, c = (Part("event", name) for name in "abc")
    assert trials_of([a, b, c]) == [[a, b, c], [b, c], [a, c], [a, b]]
    # Either of a and b is worth 4, both together 5, and c 2.
    found = strengths({a: 1.0, b: 1.0, c: 2.0}, [a, b, c], [0.0, 4.0, 4.0, 2.0])
    assert found == {a: 2.5, b: 2.5, c: 2.0}
