"""Rules as they are written, and what each does to a page."""

import dataclasses
import datetime
import pathlib
from typing import Any

import pytest

from homefeed.models.requests import Request
from homefeed.serving.gateway.items import Items
from homefeed.serving.gateway.making import Draft, Found, Made, make
from homefeed.serving.gateway.page import Place, Reader
from homefeed.serving.policy.conditions import read
from homefeed.serving.policy.rules import PolicyError, Rules, read_rules
from homefeed.serving.policy.ruling import Ruling
from homefeed.serving.policy.surfaces import Surface, Surfaces, read_surfaces
from homefeed.serving.profiles.published import Item
from tests.serving.gateway.toy import IDS, cards

NOW = 1_800_000_000.0  # 2027-01-15 08:00 UTC.


def catalogue(picks: tuple[str, ...] = ()) -> Items:
    """The toy's: i01 … i20 are dramas, the others comedies, at a price of half less than their number."""
    authors = {item: {"author": f"a{n % 3}"} for n, item in enumerate(IDS)}
    known = [Item(item, f"Title of {item}", {**card, **authors[item]}, 0) for item, card in cards().items()]
    return Items(known, picks)


def rules_of(text: str, folder: pathlib.Path) -> Rules:
    path = folder / "rules.yaml"
    path.write_text(text)
    return read_rules(path)


def draft(rows: tuple[str, ...] = ("for_you",), places: list[str] | None = None, **more: Any) -> Draft:
    found = Found([Place(item) for item in places or IDS[:30]], "history", "fused")
    reader = Reader(Request("u", features=more.pop("features", {})), {}, frozenset())
    return Draft(Surface(rows=rows, **more.pop("surface", {})), reader, found, more.pop("k", 4), NOW, **more)


def page(text: str, folder: pathlib.Path, asked: Draft | None = None, items: Items | None = None) -> Made:
    items = items or catalogue()
    ruling = Ruling(rules_of(text, folder), items.cards, items.popular)
    return make(asked or draft(), items, lambda ids: pytest.fail("no vectors are needed"), ruling)


def shown(made: Made, row: int = 0) -> list[str]:
    return [card["item_id"] for card in made.rows[row].cards]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["i01", "i02", "i03", "i04"]),
        ("r: {block: {price: {at_most: 3}}}", ["i04", "i05", "i06", "i07"]),
        ("r: {block: {author: [a0, a1]}}", ["i03", "i06", "i09", "i12"]),
        ("r: {allow: {categories: comedy}}", ["i21", "i22", "i23", "i24"]),
        ("r: {allow: {price: {at_least: 9, at_most: 11}}}", ["i10", "i11"]),
        ("r: {block: {price: {not: {at_least: 20}}}}", ["i21", "i22", "i23", "i24"]),
        # i06 stands as if at place 6 / 3 = 2, behind the one that is there.
        ("r: {boost: {price: 5.5}, by: 3}", ["i01", "i02", "i06", "i03"]),
        ("r: {boost: {price: {at_most: 2}}, by: 0.1}", ["i03", "i04", "i05", "i06"]),
        ("r: {pin: [i36, no-such-item, i35]}", ["i36", "i35", "i01", "i02"]),
        ("r: {pin: [i36], row: new}", ["i01", "i02", "i03", "i04"]),
        ("a: {pin: [i36]}\nb: {block: {price: {at_least: 30}}}", ["i01", "i02", "i03", "i04"]),
        ("r: {cap: author, at_most: 1}", ["i01", "i02", "i03"]),
        ("r: {quota: {categories: comedy}, at_least: 2}", ["i01", "i02", "i21", "i22"]),
        ("r: {quota: {author: a0}, at_most: 1}", ["i01", "i02", "i03", "i05"]),
        ("r: {block: {categories: drama}, until: 2027-01-15T08:00}", ["i01", "i02", "i03", "i04"]),
        ("r: {block: {categories: drama}, since: 2027-01-15T08:00}", ["i21", "i22", "i23", "i24"]),
        ("r: {block: {categories: drama}, hours: 08:00-09:00}", ["i21", "i22", "i23", "i24"]),
        ("r: {block: {categories: drama}, hours: 08:00-09:00, zone: Europe/Berlin}", ["i01", "i02", "i03", "i04"]),
        ("r: {block: {categories: drama}, hours: 22:00-08:30}", ["i21", "i22", "i23", "i24"]),
        ("r: {block: {available_from: {not: {at_most: now}}}, until: 2020-01-01}", ["i01", "i02", "i03", "i04"]),
    ],
)
def test_effects(text: str, expected: list[str], tmp_path: pathlib.Path) -> None:
    made = page(text, tmp_path)
    assert shown(made) == expected and not made.set_aside and not made.unmet


def test_a_rule_for_some_readers(tmp_path: pathlib.Path) -> None:
    text = "adults: {block: {price: {at_least: 2}}, reader: {age: {not: {at_least: 18}}}}"
    assert shown(page(text, tmp_path, draft(features={"age": 40.0}))) == ["i01", "i02", "i03", "i04"]
    for features in ({"age": 12.0}, {}):  # Of whom no age is known, it is not known that they are adults.
        assert shown(page(text, tmp_path, draft(features=features))) == ["i01", "i02"]


def test_a_limit_counts_over_all_rows(tmp_path: pathlib.Path) -> None:
    asked = draft(("for_you", "popular"), k=2)
    made = page("r: {cap: author, at_most: 1}", tmp_path, asked)
    assert [shown(made, row) for row in (0, 1)] == [["i01", "i02"], ["i03"]]


def test_a_quota_of_more_than_there_is_is_told(tmp_path: pathlib.Path) -> None:
    made = page("some: {quota: {price: 36.5}, at_least: 3}", tmp_path)
    assert shown(made) == ["i01", "i02", "i03", "i37"] and made.unmet == ["some"]


def test_a_rule_that_leaves_nothing_is_set_aside_and_named(tmp_path: pathlib.Path) -> None:
    text = "cheap: {block: {price: {at_least: 3}}}\nnone: {allow: {author: nobody}}"
    made = page(text, tmp_path)
    assert shown(made) == ["i01", "i02", "i03"] and made.set_aside == ["none"]
    made = page(text.replace("price: {at_least: 3}", "price: {at_least: 0}"), tmp_path)
    assert shown(made) == ["i01", "i02", "i03", "i04"] and made.set_aside == ["none", "cheap"]


def test_a_strict_rule_is_never_set_aside(tmp_path: pathlib.Path) -> None:
    made = page("none: {allow: {author: nobody}, strict: true}", tmp_path)
    assert not made.rows and not made.set_aside


@pytest.mark.parametrize(
    ("said", "value", "is_met"),
    [
        # Of 17 digits and more, neighbours are one float.
        ("12345678901234567", "12345678901234567", True),
        ("12345678901234567", "12345678901234568", False),
        ("12345678901234567", 12345678901234567, True),
        ("12345678901234567", 12345678901234568, False),
        (["a", "90071992547409931"], ["90071992547409930"], False),
        ({"at_least": "12345678901234568"}, 12345678901234567, False),
        ({"at_most": "12345678901234567"}, "12345678901234568", False),
        ({"at_most": "12345678901234567"}, "12345678901234567", True),
        ({"not": "12345678901234567"}, 12345678901234568, True),
        # Text is text, numbers are numbers.
        ("007", "7", False),
        ("1e3", "1000", False),
        ("1e3", 1000, True),
        ("1999.0", 1999, True),
        ("1999", 1999.0, True),
        ("14.38", 14.38, True),
        ("9" * 400, "9" * 400, True),
        ("nan", float("nan"), False),
    ],
)
def test_values_are_compared_as_what_the_column_holds(said: Any, value: Any, is_met: bool) -> None:
    assert read({"column": said}).holds({"column": value}) is is_met


def test_what_no_list_holds_is_found_in_the_catalogue(tmp_path: pathlib.Path) -> None:
    made = page("r: {allow: {price: [37.5, 36.5]}}", tmp_path)
    assert shown(made) == ["i37", "i38"]
    assert [card["found_by"] for card in made.rows[0].cards] == ["popular", "popular"]


def test_scrolling_ends_where_rules_leave_nothing(tmp_path: pathlib.Path) -> None:
    assert not page("none: {allow: {author: nobody}}", tmp_path, dataclasses.replace(draft(), goes_on=True)).rows


def test_only_the_rules_of_a_surface_count(tmp_path: pathlib.Path) -> None:
    text = "a: {block: {price: {at_most: 2}}}\nb: {block: {price: {at_least: 3}}}"
    assert shown(page(text, tmp_path, draft(surface={"rules": ("b",)}))) == ["i01", "i02", "i03"]
    assert shown(page(text, tmp_path, draft(surface={"rules": ()}))) == ["i01", "i02", "i03", "i04"]


def test_sources_are_mixed_by_their_shares_and_told(tmp_path: pathlib.Path) -> None:
    asked = draft(k=6, surface={"mix": {"for_you": {"model": 2, "editors": 1}}})
    made = page("", tmp_path, asked, catalogue(("i30", "i02", "i29")))
    assert shown(made) == ["i01", "i30", "i02", "i03", "i29", "i04"]
    found_by = [card["found_by"] for card in made.rows[0].cards]
    assert found_by == ["fused", "editors", "fused", "fused", "editors", "fused"]


def test_a_boost_multiplies_the_odds_of_what_is_scored(tmp_path: pathlib.Path) -> None:
    found = Found([Place("i01", 2.0), Place("i02", 1.0), Place("i03", 0.5)], "history", "fused")
    asked = dataclasses.replace(draft(k=3), found=found)
    made = page("r: {boost: {price: 2.5}, by: 4}", tmp_path, asked)  # 0.5 + log 4 = 1.89.
    assert shown(made) == ["i01", "i03", "i02"]
    assert [card["score"] for card in made.rows[0].cards] == [2.0, 0.5, 1.0]  # The model's own.


def test_what_was_seen_and_not_taken_stands_lower(tmp_path: pathlib.Path) -> None:
    asked = dataclasses.replace(draft(), fatigue={"i01": 2.5, "i02": 0.4})
    assert shown(page("", tmp_path, asked)) == ["i02", "i03", "i01", "i04"]  # Places 2.8, 3, 3.5 and 4.


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: {blok: {x: 1}}", "a: `blok` is unknown; did you mean 'block'?"),
        ("a: {block: {price: {at_mos: 3}}}", "price.at_mos is unknown; did you mean 'at_most'?"),
        ("a: {block: {price: {at_most: cheap}}}", "price.at_most: expected a number, a time such as"),
        ("a: {block: {price: {not: {at_least: 3}, at_most: 2}}}", "price: `not` stands alone"),
        ("a: {block: }", "expected exactly one of block, allow, boost, pin, quota, cap, deny, hold, found none"),
        ("a: {block: {x: 1}, allow: {x: 2}}", "found block and allow"),
        ("a: {boost: {x: 1}}", "boost needs `by`"),
        ("a: {cap: author}", "cap needs `at_most`"),
        ("a: {quota: {x: 1}}", "quota needs either `at_least` or `at_most`"),
        ("a: {block: {x: 1}, at_most: 2}", "`at_most` belongs to quota and cap, not to block"),
        ("a: {block: {x: 1}, since: soon}", "`since`: expected a time such as"),
        ("a: {block: {x: 1}, since: 2027-01-02, until: 2027-01-01}", "`since` is not before `until`"),
        ("a: {block: {x: 1}, hours: 6-8}", "expected hours such as 18:00-23:30"),
        ("a: {block: {x: 1}, zone: Mars}", "there is no such time zone"),
        ("a: {block: {x: 1}}\na: {block: {x: 2}}", "'a' is given twice"),
        ("- a", "expected rules such as no-crime"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(text: str, complaint: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(PolicyError) as error:
        rules_of(text, tmp_path)
    assert complaint in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "rules.yaml"))


def test_all_faults_are_told_at_once(tmp_path: pathlib.Path) -> None:
    with pytest.raises(PolicyError, match=r"a: .*; b: "):
        rules_of("a: {boost: {x: 1}}\nb: {cap: author}", tmp_path)


def test_a_column_that_no_item_has_is_refused(tmp_path: pathlib.Path) -> None:
    rules = rules_of("a: {block: {categorie: crime}}", tmp_path)
    with pytest.raises(PolicyError, match="a: items have no column 'categorie'; did you mean 'categories'"):
        rules.require_columns(catalogue().columns)


def test_now_is_the_time_of_the_page() -> None:
    gone = read({"until": {"at_most": "now"}})
    assert gone.is_timed and gone.holds({"until": 5.0}, 5.0) and not gone.holds({"until": 5.1}, 5.0)
    day = read({"until": {"at_least": "2027-01-15"}}).tests["until"].at_least
    assert day == datetime.datetime(2027, 1, 15, tzinfo=datetime.UTC).timestamp()


def test_surfaces_are_checked(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "surfaces.yaml"
    path.write_text("landing: {rows: [new, editors], length: 3, diversity: {max_loss: 0.1}, rules: [a]}")
    surfaces = read_surfaces(path)
    assert surfaces.get("landing").rows == ("new", "editors") and surfaces.get("home").length == 12
    with pytest.raises(PolicyError, match="landing: there is no rule 'a'"):
        surfaces.require_rules({"b": None})
    for text, complaint in (
        ("landing: {rows: [nwe]}", "`rows.0`: expected one of"),
        ("landing: {row: [new]}", "`row` is unknown; did you mean 'rows'"),
        ("landing: {rows: [new, new]}", "a row is named twice"),
        ("landing: {rows: [new], mix: {for_you: {new: 1}}}", "for_you is none of its rows"),
        ("landing: {rows: [new], mix: {new: {hott: 1}}}", "`mix.new`: expected one of model, .*, found 'hott'"),
        ("landing: {rows: [new], mix: {nwe: {hot: 1}}}", "`mix`: expected one of for_you, .*, found 'nwe'"),
    ):
        path.write_text(text)
        with pytest.raises(PolicyError, match=complaint):
            read_surfaces(path)
    with pytest.raises(LookupError, match="surface: there is none named 'hom'; did you mean 'home'"):
        Surfaces().get("hom")
