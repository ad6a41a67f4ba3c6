"""The catalogue in memory: interests, segments, search by words."""

from __future__ import annotations

from homefeed.serving.experiments.groups import MAX_LANGUAGES
from homefeed.serving.gateway.items import Items, words
from homefeed.serving.profiles.published import Item

ITEMS = Items(
    [
        Item("a", "Star Wars", {"categories": ["war", "space"], "language": "en"}, 5),
        Item("b", "Star Trek", {"categories": "space", "language": "en"}, 9),
        Item("c", "星际争霸 Wars", {"categories": ["war"], "language": "zh"}, 9),
        Item("d", "Gone", None, 99),
        Item("e", "Later Star", {"available_from": 2_000}, 1),
        Item("f", "Earlier", {"available_from": 1_000}, 0),
    ],
    ["d", "c"],
)


def test_what_is_gone_is_shown_nowhere_and_keeps_its_title() -> None:
    assert ITEMS.popular == ["b", "c", "a", "e", "f"] and ITEMS.picks == ["c"]
    assert ITEMS.titles["d"] == "Gone" and not ITEMS.is_available("d", 5_000)


def test_new_items_are_those_with_a_date_newest_first() -> None:
    assert ITEMS.newest == ["e", "f"]
    assert [ITEMS.is_available("e", now) for now in (1_999, 2_000)] == [False, True]


def test_interests_are_categories_language_and_words() -> None:
    assert ITEMS.tags("a") == ("categories:war", "categories:space", "language:en", "word:star", "word:wars")
    assert ITEMS.tags("b")[:2] == ("categories:space", "language:en")
    assert ITEMS.tags("unknown") == ()
    assert words("the 星球大战 of Star Star") == ("word:star", "word:星球", "word:球大", "word:大战")


def test_near_a_taste_each_liked_segment_has_its_turn_and_disliked_ones_have_none() -> None:
    # war: c a; space: b a. One of each in turn: c b a a.
    assert list(ITEMS.near({"categories:war": 2.0, "categories:space": 1.0})) == ["c", "b", "a", "a"]
    assert list(ITEMS.near({"categories:war": 2.0, "categories:space": -1.0})) == ["c"]
    assert list(ITEMS.near({"word:star": 9.0})) == []


def test_search_finds_words_of_titles_in_any_script() -> None:
    assert ITEMS.search("wars of STAR") == ["a", "b", "c", "e"]  # Two words; then one, by popularity.
    assert ITEMS.search("争霸") == ["c"] and ITEMS.search("?!") == []


def test_groups_of_a_card_are_few_whatever_the_catalogue() -> None:
    languages = [
        f"l{n:02}" for n in range(MAX_LANGUAGES + 2) for _ in range(n + 1)
    ]  # l00 is of one card, l01 of two.
    dated = [{"language": name, "available_from": 5_000_000} for name in languages]
    found = Items(Item(f"{n}", "", card, 0) for n, card in enumerate([{}, *dated]))
    of = {name: str(place) for place, name in enumerate(languages, start=1)}
    week = 7 * 86_400
    assert found.groups("0", "new", 0) == ("new", "undated", "none")
    assert found.groups(of["l01"], "known", 5_000_000 + week) == ("known", "new", "other")
    assert found.groups(of["l02"], "known", 5_000_000 + week + 1) == ("known", "older", "l02")
