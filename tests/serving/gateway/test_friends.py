"""What people took whom a reader is related to, and more of what they had: on pages, with reasons, and forgotten."""

from __future__ import annotations

import json
import pathlib
import sqlite3
import subprocess
import time

import pytest

from homefeed.models.requests import Event
from homefeed.serving.gateway.friends import NUM_EVENTS, taken
from homefeed.serving.gateway.items import Items
from homefeed.serving.profiles import FILE_NAME, LiveEvent, LiveProfile
from homefeed.serving.profiles.live import apply
from homefeed.serving.profiles.published import Item
from tests.serving.gateway import toy
from tests.serving.gateway.toy import row

NOW = int(time.time())
DAY = 86_400
NOBODY = LiveProfile()
SURFACES = """
home: {rows: [for_you, more_of, friends], length: 3}
landing: {rows: [for_you], length: 6, mix: {for_you: {popular: 2, friends: 1}}}
"""
FACTS = {
    "i10": {"series": ["基地"], "author": ["Asimov", "Ann=Lee"]},
    "i20": {"author": ["Asimov"]},
    "i21": {"series": ["基地"], "author": ["Asimov"]},
    "i22": {"author": ["Asimov"]},
    "i23": {"author": ["Ann=Lee"]},
    "i24": {"author": ["Nobody else"]},
}


def did(*events: tuple[str, str, int], settings: bool | None = None) -> LiveProfile:
    """The live profile of who did these: item, type, time."""
    profile = LiveProfile()
    for n, (item, kind, at) in enumerate(events):
        profile = apply(profile, LiveEvent(str(n), "u", kind, at, at * 1000, item))
    if settings is not None:
        profile = apply(profile, LiveEvent("s", "u", "settings", NOW, settings={"personalised": settings}))
    return profile


def test_newer_liked_and_shared_choices_come_first() -> None:
    old = [Event("a", timestamp=NOW - 28 * DAY), Event("b", timestamp=NOW - 14 * DAY)]
    people = [(old, did(("c", "view", NOW))), ([Event("b", timestamp=NOW - 14 * DAY)], did(("d", "like", NOW)))]
    # d 3; c 1; b half from each of two; a a quarter.
    assert taken(people, (), 9) == ["d", "b", "c", "a"]
    assert taken(people, ("d",), 2) == ["b", "c"]


def test_one_person_alone_is_not_told_of_and_who_wants_no_page_of_their_own_does_not_count() -> None:
    one, other = ([Event("a", timestamp=1)], NOBODY), ([Event("b", timestamp=1)], NOBODY)
    assert taken([one], (), 9) == [] and taken([], (), 9) == []
    assert taken([one, ([], NOBODY)], (), 9) == []
    assert taken([one, other], (), 9) == ["a", "b"]
    assert taken([one, ([Event("b", timestamp=1)], did(settings=False))], (), 9) == []


def test_what_was_turned_against_or_only_seen_was_not_taken() -> None:
    seen = did(("a", "view", NOW), ("a", "not_for_me", NOW), ("b", "impression", NOW), ("c", "hide", NOW))
    data = [Event("e", event_type="view", timestamp=NOW), Event("e", event_type="hide", timestamp=NOW)]
    many = [Event(f"m{n:02}", timestamp=NOW - n) for n in reversed(range(NUM_EVENTS + 2))]
    found = taken([(data, seen), ([Event("d", timestamp=NOW)], NOBODY), (many, NOBODY)], (), 99)
    assert set(found) == {"d", *(f"m{n:02}" for n in range(NUM_EVENTS))}


def test_rarer_facts_come_first_and_popular_items_within_one() -> None:
    popularity = {"i22": 3, "i20": 1}
    cards = toy.cards()
    items = Items(
        (Item(i, i, card | FACTS.get(i, {}), popularity.get(i, 0)) for i, card in cards.items()),
        facts=["series", "author"],
    )
    assert [*items.more_of("i10")] == [
        ("i23", "author=Ann=Lee"),
        ("i21", "series=基地"),
        ("i22", "author=Asimov"),
        ("i20", "author=Asimov"),
    ]
    assert items.shared("i10", "i21") == ["series=基地", "author=Asimov"]
    assert items.has_more("i10") and not items.has_more("i24") and not items.has_more("nothing")
    assert not [*items.more_of("i24")]


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """`fan` had i10 and is related to three; `other-0` had i25, `other-15` i12; `other-99` is not known."""
    relations = [("fan", "other-99"), ("fan", "other-0"), ("fan", "other-15"), ("other-0", "fan"), ("one", "fan")]
    toy.publish(tmp_path / "serving", {}, facts=FACTS, relations=relations)
    (tmp_path / "surfaces.yaml").write_text(SURFACES)
    (tmp_path / "rules.yaml").write_text("authors: {cap: author, at_most: 1}")
    return tmp_path


def test_on_pages_with_source_reason_and_rule_and_gone_when_forgotten(root: pathlib.Path) -> None:
    with toy.gateway(root, "--surfaces", str(root / "surfaces.yaml")) as gateway:
        page = gateway.page(user_id="fan")
        assert row(page, "for_you")[0] == "i12" and row(page, "friends") == ["i25"]  # No item stands there twice.
        gateway.did("1", "other-99", "view", "i30")
        page = gateway.page(user_id="fan")
        assert row(page, "more_of") == ["i23", "i21", "i20"] and row(page, "friends") == ["i30", "i25"]
        (more,) = (one for one in page["rows"] if one["id"] == "more_of")
        assert more["reason"] == {"code": "more_of", "item_id": "i10", "title": "Title of i10"}
        assert [card["found_by"] for card in more["cards"]] == [
            "more_of: author=Ann=Lee", "more_of: series=基地", "more_of: author=Asimov"
        ]  # fmt: skip
        assert "other" not in json.dumps(page)
        mixed = gateway.page(user_id="fan", surface="landing")["rows"][0]["cards"]
        assert [card["item_id"] for card in mixed][:3] == ["i12", "i30", "i11"]
        assert [card["found_by"] for card in mixed].count("friends") == 2
        told = gateway.why(page, "i30", "fan")[0]
        assert told["code"] == "friends" and told["text"]["zh"] == "与你有联系的人中有人选择过它。"
        assert gateway.why(page, "i21", "fan")[0]["text"] == {
            "en": "Its series is “基地”, as that of “Title of i10” is.",
            "zh": "它的series是“基地”，与“Title of i10”相同。",
        }
        assert replayed(root, page["impression_id"])
        for nobody in ("one", "stranger"):  # Related to one person alone, and to nobody.
            assert row(gateway.page(user_id=nobody), "friends") == []
        assert row(gateway.page(user_id="stranger", surface="similar", item_id="i10"), "more_of") == []
        gateway.send({"event_id": "s", "user_id": "fan", "type": "settings", "settings": {"personalised": False}})
        assert row(gateway.page(user_id="fan"), "friends") == [] == row(gateway.page(user_id="fan"), "more_of")
        settings = {"personalised": True}
        gateway.send({"event_id": "t", "user_id": "fan", "type": "settings", "settings": settings})
        html = gateway.http.get("/?user_id=fan&lang=zh").text
        assert "来自与你有联系的人" in html and "与“Title of i10”相关的更多内容" in html
    with toy.gateway(root, "--surfaces", str(root / "surfaces.yaml"), "--rules", str(root / "rules.yaml")) as gateway:
        gateway.did("2", "other-99", "view", "i31")
        assert row(gateway.page(user_id="fan"), "more_of") == ["i23", "i21"]  # One of each author.


def replayed(root: pathlib.Path, impression: str) -> bool:
    command = [*toy.COMMAND[:-1], "page", "replay", impression, "--root", str(root)]
    done = subprocess.run([*command, "--surfaces", str(root / "surfaces.yaml")], capture_output=True, text=True)
    return done.returncode == 0


def test_who_is_forgotten_leaves_both_sides_of_relations(root: pathlib.Path) -> None:
    from homefeed.pipeline.forget import forget

    assert forget("other-0", root=root).traces == []
    with sqlite3.connect(root / "serving" / FILE_NAME) as database:
        left = database.execute("SELECT * FROM relations ORDER BY 1, 2").fetchall()
    assert left == [("fan", "other-15"), ("fan", "other-99"), ("one", "fan")]
