"""No sentence says what its data does not carry."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from homefeed.models.faithfulness.removal import HISTORY, QUERY, Part
from homefeed.serving.why.evidence import NAMED_FACTOR, Evidence, Reason, holds, reasons_of
from homefeed.serving.why.words import SENTENCES, counterfactual, sentence

CODES = [code for code in SENTENCES["en"] if code != "counterfactual"]
ITEMS = [f"item {n}" for n in range(30)]
FACTS = ["series=基地", "author=Ann=Lee", "author=Bo"]
MORE = [f"more_of: {fact}" for fact in FACTS]
NUM_SENTENCES = 10_000


def title(item_id: str) -> str:
    return f"Title of {item_id}"


def random_evidence(rng: np.random.Generator) -> Evidence:
    def some(names: list[str], most: int) -> list[str]:
        return rng.permutation(names)[: rng.integers(0, most + 1)].tolist()

    item, history = "item 0", some(ITEMS[1:], 8)
    effects = {Part("event", one): float(rng.normal() ** 3) for one in history}
    effects |= {
        part: float(rng.normal()) for part in (HISTORY, QUERY, Part("feature", "age"), Part("context", "device"))
    }
    lists = {name: some(ITEMS, 25) for name in ("popular", "hot", "trending", "editors", "friends")}
    return Evidence(
        item,
        str(rng.choice(["fused", "similar", "near_taste", "new", "pin", *MORE, *lists])),
        history,
        effects if rng.random() < 0.8 else {},
        {part: float(rng.normal()) for part in effects if rng.random() < 0.5},
        (str(rng.choice(ITEMS)), some(ITEMS, 25)) if rng.random() < 0.7 else None,
        str(rng.choice(["", "red shoes"])),
        some(["red", "shoes"], 2),
        {tag: float(rng.random()) for tag in some(["categories:drama", "language:zh"], 2)},
        lists,
        int(rng.integers(10**9, 2 * 10**9)) if rng.random() < 0.5 else None,
        {rule: some(ITEMS, 20) for rule in some(["opening", "gala"], 2)},
        {rule: float(rng.choice([0.5, 1.0, 2.0])) for rule in some(["bargains", "news"], 2)},
        float(rng.choice([1.0, 0.125, 0.5])),
        {name: str(rng.choice(["old", "new"])) for name in some(["rank", "rows"], 2)},
        (str(rng.choice(ITEMS)), some(FACTS, 2)) if rng.random() < 0.7 else None,
    )


def random_reason(rng: np.random.Generator, evidence: Evidence) -> Reason:
    """One that the evidence carries, one of other evidence, or one that somebody made up."""
    kind = rng.random()
    mine, others = reasons_of(evidence), reasons_of(random_evidence(rng))
    if kind < 0.4 and mine:
        return mine[rng.integers(len(mine))]
    if kind < 0.7 and others:
        return others[rng.integers(len(others))]
    subjects = ["", *ITEMS, "age", "red", "categories:drama", "opening", "bargains", "rank"]
    amounts = [None, 0.0, 1.0, 2.0, -1.0, 0.125, float("nan"), *evidence.effects.values()]
    more = str(rng.choice(["", "old", "new", *FACTS]))
    return Reason(str(rng.choice(CODES)), str(rng.choice(subjects)), amounts[rng.integers(len(amounts))], more)


def is_true(text: str, evidence: Evidence, language: str) -> bool:
    """Reads a sentence as a person would, and looks its claims up: an oracle that shares no code with `holds`."""
    for code, template in SENTENCES[language].items():
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(template))
        if found := re.fullmatch(pattern, text):
            return bool(CLAIMS[code](evidence, found.groupdict()))
    raise AssertionError(f"no template says {text!r}")


def _is_lost(evidence: Evidence, kind: str, name: str = "") -> bool:
    return any(part.kind == kind and part.name == name and lost > 0 for part, lost in evidence.effects.items())


def _item(found: dict[str, Any]) -> str:
    return str(found["title"]).removeprefix("Title of ")


def _stands_out(evidence: Evidence, item: str) -> bool:
    mine = evidence.effects[Part("event", item)]
    others = [abs(lost) for part, lost in evidence.effects.items() if part.kind == "event" and part.name != item]
    return mine >= NAMED_FACTOR * float(np.mean(others or [0.0]))


def _stands_at(evidence: Evidence, name: str, found: dict[str, Any]) -> bool:
    return list(evidence.lists[name]).index(evidence.item_id) + 1 == int(found["place"])


def _in_list(name: str) -> Any:
    return lambda e, f: evidence_has(e, name) and _stands_at(e, name, f)


def evidence_has(evidence: Evidence, name: str) -> bool:
    return evidence.item_id in evidence.lists[name]


CLAIMS: dict[str, Any] = {
    "event": lambda e, f: _item(f) in e.history and _is_lost(e, "event", _item(f)) and _stands_out(e, _item(f)),
    "history": lambda e, f: _is_lost(e, "history"),
    "feature": lambda e, f: _is_lost(e, "feature", f["subject"]),
    "context": lambda e, f: _is_lost(e, "context", f["subject"]),
    "query": lambda e, f: e.query == f["query"] and _is_lost(e, "query"),
    "words": lambda e, f: f["subject"] in e.query.split() and f["subject"] in e.words,
    "similar": lambda e, f: e.similar[0] == _item(f) and e.item_id in e.similar[1],
    "more_of": lambda e, f: e.more_of[0] == _item(f) and f"{f['relation']}={f['value']}" in e.more_of[1],
    "friends": lambda e, f: evidence_has(e, "friends"),
    "tag": lambda e, f: any(tag.endswith(f":{f['tag']}") and liked > 0 for tag, liked in e.tags.items()),
    "popular": _in_list("popular"),
    "hot": _in_list("hot"),
    "trending": _in_list("trending"),
    "editors": _in_list("editors"),
    "new": lambda e, f: np.datetime64(int(e.available_from), "s").astype("datetime64[D]") == np.datetime64(f["date"]),
    "pin": lambda e, f: e.found_by == "pin" and e.item_id in e.pins[f["subject"]],
    "boost": lambda e, f: e.boosts[f["subject"]] > 1,
    "exploration": lambda e, f: (
        float(f["share"].rstrip("%")) == pytest.approx(e.probability * 100) and e.probability < 1
    ),
    "experiment": lambda e, f: e.arms[f["subject"]] == f["more"],
}


def test_of_ten_thousand_sentences_none_is_false() -> None:
    rng = np.random.default_rng(7)
    told, refused, codes = 0, 0, set[str]()
    while told < NUM_SENTENCES:
        evidence = random_evidence(rng)
        reasons = [random_reason(rng, evidence) for _ in range(3)]
        for reason in [*reasons, *reasons_of(evidence)]:
            language = "zh" if rng.random() < 0.5 else "en"
            try:
                text = sentence(reason, evidence, title, language)
            except ValueError:
                refused += 1
                continue
            assert is_true(text, evidence, language), (text, evidence)
            told += 1
            codes.add(reason.code)
    assert codes == set(CODES) and refused > 1_000


def test_a_reason_that_is_not_carried_is_not_put_into_words() -> None:
    evidence = Evidence("x", "fused", ["a", "b"], {Part("event", "a"): 0.5, Part("event", "b"): -0.1})
    assert [reason.subject for reason in reasons_of(evidence)] == ["a"]
    for wrong in (
        Reason("event", "b", -0.1),
        Reason("event", "a", 0.4),
        Reason("event", "c", 0.5),
        Reason("pin", "r"),
    ):
        with pytest.raises(ValueError, match="is not carried by what is known of x"):
            sentence(wrong, evidence, title, "en")


def test_an_event_is_named_only_if_it_does_more_than_the_others() -> None:
    close = {Part("event", name): 0.5 for name in "abc"} | {HISTORY: 1.2}
    evidence = Evidence("x", "fused", "abc", close)
    assert [reason.code for reason in reasons_of(evidence)] == ["history"]
    assert not holds(Reason("event", "a", 0.5), evidence)
    alone = dataclasses.replace(evidence, effects={Part("event", "a"): 0.5})
    assert holds(Reason("event", "a", 0.5), alone)


def test_rules_speak_first_and_what_is_pinned_was_not_lifted() -> None:
    evidence = Evidence("x", "pin", pins={"opening": ["x"], "other": ["y"]}, boosts={"bargains": 2.0})
    assert [(reason.code, reason.subject) for reason in reasons_of(evidence)] == [("pin", "opening")]
    lifted = dataclasses.replace(evidence, found_by="fused")
    assert [(reason.code, reason.subject) for reason in reasons_of(lifted)] == [("boost", "bargains")]


def test_both_languages_say_the_same_with_the_same_words_filled_in() -> None:
    assert SENTENCES["en"].keys() == SENTENCES["zh"].keys()
    for code, english in SENTENCES["en"].items():
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", SENTENCES["zh"][code])), code
    assert counterfactual(["甲", "乙"], "丙", "zh") == "如果没有“甲”和“乙”，你在这里看到的会是“丙”。"
