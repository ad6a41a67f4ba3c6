"""Random rules, readers, surfaces and lists of every rung: no page breaks a rule, and what was set aside is told.

The checker knows rules as they are written, and reads none of the code that keeps them.
"""

import dataclasses
import pathlib
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import scipy.stats
import yaml

from homefeed.models.requests import Request
from homefeed.serving.gateway.hot import Hottest
from homefeed.serving.gateway.items import Items
from homefeed.serving.gateway.ladder import RUNGS
from homefeed.serving.gateway.making import Draft, Found, Made, make
from homefeed.serving.gateway.page import Place, Reader
from homefeed.serving.policy.diversity import Diversity
from homefeed.serving.policy.exploration import Exploration
from homefeed.serving.policy.rules import Rules, read_rules
from homefeed.serving.policy.ruling import Ruling
from homefeed.serving.policy.surfaces import Surface
from homefeed.serving.profiles.published import Item

NOW = 1_800_000_000.0
CATEGORIES, AUTHORS = ("crime", "drama", "comedy", "news"), ("ann", "bob", "eve")
ROWS = ("for_you", "because", "more_of", "friends", "trending", "new", "near_taste", "popular", "editors")
LATE = 0.05  # Share of items that come later.
IDS = [f"i{n:03}" for n in range(120)]
CARDS = {
    item: {
        "categories": random.Random(item).sample(CATEGORIES, random.Random(item).randint(1, 2)),
        "price": float(n % 17),
        "until": NOW + (n % 11 - 1) * 1000.0,
        "available_from": NOW + (1e6 if random.Random(item).random() < LATE else -float(n)),
        **({"author": AUTHORS[n % 3]} if n % 5 else {}),
        "series": [f"s{n % 7}"],
    }
    for n, item in enumerate(IDS)
}
ITEMS = Items(
    (Item(item, item, card, n % 23) for n, (item, card) in enumerate(CARDS.items())), IDS[40:44], ["series"]
)
VECTORS = dict(zip(IDS, np.random.default_rng(0).normal(size=(120, 8)), strict=True))


def condition(some: random.Random) -> dict[str, Any]:
    kinds = {
        "categories": some.sample(CATEGORIES, some.randint(1, 2)),
        "author": some.choice(AUTHORS),
        "price": {some.choice(("at_least", "at_most")): some.randint(0, 17)},
        "until": {"at_most": "now"},
    }
    name = some.choice(list(kinds))
    return {name: {"not": kinds[name]} if some.random() < 0.3 else kinds[name]}


def rule(some: random.Random) -> dict[str, Any]:
    effect = some.choice(("block", "block", "allow", "boost", "pin", "quota", "cap"))
    made: dict[str, Any] = {
        "pin": {"pin": some.sample(IDS, 2)},
        "boost": {"boost": condition(some), "by": some.choice((0.1, 2, 5))},
        "cap": {"cap": some.choice(("author", "categories", "price")), "at_most": some.randint(1, 3)},
        "quota": {"quota": condition(some), some.choice(("at_least", "at_most")): some.randint(1, 4)},
    }.get(effect) or {effect: condition(some)}
    if effect in ("pin", "quota") and some.random() < 0.3:
        made["row"] = some.choice(ROWS)
    if some.random() < 0.15:
        made["since"] = "2027-01-15T09:00" if some.random() < 0.5 else "2027-01-15T07:00"  # It is eight.
    if some.random() < 0.15:
        made["reader"] = {"age": {"at_least": 18}}
    return made | ({"strict": "true"} if some.random() < 0.3 else {})


def draft(some: random.Random) -> Draft:
    rows = tuple(some.sample(ROWS, some.randint(1, len(ROWS))))
    mix = (
        {rows[0]: {"model": 3, "hot": 2, "editors": 1, "new": 2, "more_of": 1, "friends": 1}}
        if some.random() < 0.3
        else {}
    )
    diversity = Diversity(method=some.choice(("mmr", "dpp"))) if some.random() < 0.5 else None
    rung = some.choice(RUNGS)
    scored = rung in ("fused", "retrieval", "last_page")
    places = [Place(item, -n / 7 if scored else None) for n, item in enumerate(some.sample(IDS, 60))]
    reader = Reader(
        Request("u", features=some.choice(({}, {"age": 12.0}, {"age": 40.0}))),
        {"categories:crime": 1.0},
        frozenset(some.sample(IDS, some.randint(0, 20))),
    )
    hottest = Hottest(some.sample(IDS, 30), some.sample(IDS, 30))
    found = Found(places, "history", rung, ("i005", some.sample(IDS, 30)), hottest, some.sample(IDS, 30), "i005")
    surface = Surface(rows=rows, mix=mix, diversity=diversity)
    asked = Draft(surface, reader, found, some.randint(1, 8), NOW, "", some.random() < 0.1, seed=some.getrandbits(52))
    return explored(asked, some) if scored and some.random() < 0.7 else asked


def explored(asked: Draft, some: random.Random) -> Draft:
    """The same with chance in it."""
    how = Exploration(
        method=some.choice(("greedy", "plackett_luce", "thompson")),
        temperature=some.choice((0.2, 1.0)),
        epsilon=some.choice((0.0, 0.1, 1.0)),
        floor=some.choice((0.0, 0.001)),
        pool=some.choice((5, 50)),
        fresh=some.choice((1, 10)),
    )
    places = [place._replace(deviation=some.random()) for place in asked.found.places]
    found = dataclasses.replace(asked.found, places=places, served_by="fused")
    return dataclasses.replace(asked, found=found, surface=asked.surface.model_copy(update={"exploration": how}))


def holds(said: Mapping[str, Any], card: Mapping[str, Any]) -> bool:
    ((name, test),) = said.items()
    if isinstance(test, dict) and "not" in test:
        return not holds({name: test["not"]}, card)
    if name not in card:
        return False
    if isinstance(test, dict):
        limit = NOW if "now" in test.values() else next(iter(test.values()))
        return bool(card[name] >= limit if "at_least" in test else card[name] <= limit)
    accepted = test if isinstance(test, list) else [test]
    values = card[name] if isinstance(card[name], list) else [card[name]]
    return bool(set(accepted) & set(values))


def counts(said: Mapping[str, Any], age: float | None) -> bool:
    return said.get("since") != "2027-01-15T09:00" and ("reader" not in said or (age is not None and age >= 18))


def broken(said: Mapping[str, Any], name: str, made: Made) -> bool:
    """Whether a page breaks a rule that counts."""
    items = [card["item_id"] for row in made.rows for card in row.cards]
    if "block" in said:
        return any(holds(said["block"], CARDS[item]) for item in items)
    if "allow" in said:
        return not all(holds(said["allow"], CARDS[item]) for item in items)
    if "cap" in said:
        values = (CARDS[item].get(said["cap"], ()) for item in items)
        tally = Counter(v for value in values for v in (value if isinstance(value, list | tuple) else [value]))
        return max(tally.values(), default=0) > said["at_most"]
    if "quota" in said:
        count = sum(holds(said["quota"], CARDS[item]) for item in items)
        return count > said["at_most"] if "at_most" in said else (count < said["at_least"]) != (name in made.unmet)
    return False


def check(seed: int, folder: pathlib.Path) -> Made:
    some = random.Random(seed)
    said = {f"r{n}": rule(some) for n in range(some.randint(1, 10))}
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump(said))
    asked = draft(some)
    ruling = Ruling(read_rules(path), ITEMS.cards, ITEMS.popular)
    made = make(asked, ITEMS, vectors, ruling)
    items = [card["item_id"] for row in made.rows for card in row.cards]
    assert len(set(items)) == len(items) and not set(items) & asked.reader.excluded, seed
    assert all(CARDS[item]["available_from"] <= NOW for item in items), seed
    assert all(len(row.cards) <= asked.k for row in made.rows), seed
    assert all(0 < chance <= 1 + 1e-12 for chance in made.propensities.values()), seed
    assert made == make(asked, ITEMS, vectors, ruling) and bool(made.propensities) <= bool(asked.exploration), seed
    age = asked.reader.request.features.get("age")
    for name, one in said.items():
        if counts(one, age) and name not in made.set_aside:
            assert not broken(one, name, made), (seed, name, one, items)
    for name in made.set_aside:
        assert "strict" not in said[name] and counts(said[name], age), (seed, name)
    if made.set_aside:  # Without the last that was set aside there is nothing.
        kept = {name: one for name, one in said.items() if name not in made.set_aside[:-1]}
        path.write_text(yaml.safe_dump(kept))
        assert not make(asked, ITEMS, vectors, stricter(path)).rows, seed
    if not made.rows and not asked.goes_on:  # Strict rules leave nothing, or nothing is left without any rule.
        path.write_text(yaml.safe_dump({name: one for name, one in said.items() if "strict" in one}))
        assert not make(asked, ITEMS, vectors, stricter(path)).rows, seed
    return made


def vectors(ids: Any) -> np.ndarray:
    return np.array([VECTORS[item] for item in ids], np.float32)


def stricter(path: pathlib.Path) -> Ruling:
    """Rules none of which is set aside."""
    rules = read_rules(path)
    strict = {name: one.model_copy(update={"strict": True}) for name, one in rules.by_name.items()}
    return Ruling(dataclasses.replace(rules, by_name=strict), ITEMS.cards, ITEMS.popular)


def frequencies(said: Mapping[str, Any], asked: Draft, folder: pathlib.Path, draws: int) -> tuple[float, int]:
    """How well the pages of many seeds agree with the probabilities that are told: p-value, and how many differ."""
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump(dict(said)))
    ruling = Ruling(read_rules(path), ITEMS.cards, ITEMS.popular)
    counts, chance = Counter[tuple[str, ...]](), dict[tuple[str, ...], float]()
    for seed in range(draws):
        made = make(dataclasses.replace(asked, seed=seed), ITEMS, vectors, ruling)
        page = tuple(card["item_id"] for card in made.rows[0].cards)
        counts[page] += 1
        told = float(np.prod([made.propensities.get(item, 1.0) for item in page]))
        assert chance.setdefault(page, told) == pytest.approx(told, rel=1e-12)
    expected = np.array([chance[page] * draws for page in counts])
    assert expected.sum() <= draws * (1 + 1e-9)  # What never came is the rest.
    often = expected >= 5
    seen = np.append(np.array([*counts.values()])[often], draws - np.array([*counts.values()])[often].sum())
    wanted = np.append(expected[often], draws - expected[often].sum())
    return float(scipy.stats.chisquare(seen, wanted).pvalue), len(counts)


def by_lot(method: str, **more: Any) -> Draft:
    """A page of four cards out of eight items and three new ones."""
    some = random.Random(1)
    places = [Place(item, -n / 3, None, some.random()) for n, item in enumerate(some.sample(IDS, 9))]
    how = Exploration.model_validate({"method": method, "temperature": 0.8, "epsilon": 0.2, "fresh": 2, **more})
    surface = Surface(rows=("for_you",), exploration=how, diversity=Diversity(max_loss=0.2))
    return Draft(surface, Reader(Request("u"), {}, frozenset()), Found(places, "history", "fused"), 4, NOW)


RULES = {
    "authors": {"cap": "author", "at_most": 2},
    "comedies": {"quota": {"categories": "comedy"}, "at_least": 2},
    "crime": {"quota": {"categories": "crime"}, "at_most": 2},
    "first": {"pin": ["i009"]},
    "cheap": {"boost": {"price": {"at_most": 8}}, "by": 2},
}


@pytest.mark.parametrize("method", ["greedy", "plackett_luce", "thompson"])
def test_pages_come_as_often_as_they_tell(method: str, tmp_path: pathlib.Path) -> None:
    p_value, pages = frequencies(RULES, by_lot(method, floor=0.01), tmp_path, 2_000)
    assert p_value > 0.001 and pages > 15


def test_where_rules_leave_nothing_to_draw_from_the_row_is_filled_as_ever(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"dear": {"quota": {"price": {"at_least": 5}}, "at_least": 4}}))
    asked = by_lot("thompson")
    nothing = dataclasses.replace(asked, found=dataclasses.replace(asked.found, places=[]))
    undated = Items(
        Item(item, item, {**card, "available_from": 0}, n) for n, (item, card) in enumerate(CARDS.items())
    )
    made = make(nothing, undated, vectors, Ruling(read_rules(path), undated.cards, undated.popular))
    assert len(made.rows[0].cards) == 4 and not made.propensities


@pytest.mark.slow
@pytest.mark.parametrize(("method", "draws"), [("thompson", 1_000_000), ("plackett_luce", 200_000)])
def test_a_million_pages_come_as_often_as_they_tell(method: str, draws: int, tmp_path: pathlib.Path) -> None:
    p_value, pages = frequencies(RULES, by_lot(method), tmp_path, draws)
    assert p_value > 0.001 and pages > 15


def test_no_page_breaks_a_rule(tmp_path: pathlib.Path) -> None:
    pages = [check(seed, tmp_path) for seed in range(300)]
    assert sum(bool(page.set_aside) for page in pages) > 5 and sum(bool(page.unmet) for page in pages) > 5
    assert sum(len(page.propensities) > 2 for page in pages) > 50
    assert sum(not page.rows for page in pages) > 5 and sum(len(page.rows) > 2 for page in pages) > 100


@pytest.mark.slow
def test_no_page_of_ten_thousand_breaks_a_rule(tmp_path: pathlib.Path) -> None:
    for seed in range(300, 10_300):
        check(seed, tmp_path)


def test_serendipity_brings_cards_from_outside_of_the_reader_s_interests() -> None:
    crimes_first = sorted(IDS[:60], key=lambda item: "crime" not in CARDS[item]["categories"])
    places = [Place(item, -n / 200) for n, item in enumerate(crimes_first)]
    reader = Reader(Request("u"), {"categories:crime": 2.0, "categories:jazz": 1.0}, frozenset())
    crimes = []
    for much in (0.0, 1.0):
        surface = Surface(rows=("for_you",), diversity=Diversity(max_loss=0.3, serendipity=much))
        asked = Draft(surface, reader, Found(places, "history", "fused"), 12, NOW)
        (row,) = make(asked, ITEMS, vectors, Ruling(Rules({}, ""), ITEMS.cards, ITEMS.popular)).rows
        crimes.append(sum("crime" in card["categories"] for card in row.cards))
    assert crimes == [6, 2]
