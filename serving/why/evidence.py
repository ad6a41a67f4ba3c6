"""What is known of a card, and which reasons it carries."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from homefeed.models.faithfulness.removal import HISTORY, QUERY, Part

Code = Literal[
    "event", "history", "feature", "context", "query", "words", "similar", "more_of", "friends", "tag", "popular",
    "hot", "trending", "new", "editors", "pin", "boost", "exploration", "experiment",
]  # fmt: skip
NAMED_FACTOR = 2.0  # An event is named if it does so many times what the others do on average.
MAX_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Reason:
    """Something that may be said of a card.

    Attributes:
        code: what kind of reason.
        subject: what it is about: an item id, a feature, words, a tag, a rule, or an experiment; "": nothing.
        amount: lead lost without it, in units of the score; a place of a list, from 1; a factor; a probability; Unix
            seconds. None: nothing.
        more: of an experiment the arm; of a shared fact, what it is, as `series=Foundation`.
    """

    code: Code
    subject: str = ""
    amount: float | None = None
    more: str = ""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What is recorded of a card, and what was measured.

    Attributes:
        item_id: of the card.
        found_by: where it comes from, as the page records it.
        history: items of what the models were told.
        effects: part of the request → lead that the card loses without it; empty: nothing was measured.
        strengths: event → what it does, by which reasons are ordered; empty: `effects` order them.
        similar: the item that a list of likes was made for, and the list; None: there is none.
        query: what was searched for.
        words: those of the query that are in the card's title.
        tags: interest that the card stands for → the reader's weight of it.
        lists: name of a list (`popular`, `hot`, `trending`, `editors`, `friends`) → the items of it, best first.
        available_from: of the card, Unix seconds; None: unknown.
        pins: rule → the items that it pins; of the rules that were in force.
        boosts: rule → factor, of the rules that were in force and are about the card.
        probability: that the lots gave the card this place; 1: no lots were drawn.
        arms: experiment → the arm that the page was made in.
        more_of: the item that cards of `more_of` share facts with, and the facts that this card does; None: no item.
    """

    item_id: str
    found_by: str = ""
    history: Sequence[str] = ()
    effects: Mapping[Part, float] = dataclasses.field(default_factory=dict)
    strengths: Mapping[Part, float] = dataclasses.field(default_factory=dict)
    similar: tuple[str, Sequence[str]] | None = None
    query: str = ""
    words: Sequence[str] = ()
    tags: Mapping[str, float] = dataclasses.field(default_factory=dict)
    lists: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    available_from: int | None = None
    pins: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    boosts: Mapping[str, float] = dataclasses.field(default_factory=dict)
    probability: float = 1.0
    arms: Mapping[str, str] = dataclasses.field(default_factory=dict)
    more_of: tuple[str, Sequence[str]] | None = None


def reasons_of(evidence: Evidence) -> list[Reason]:
    """The reasons that hold, those that say most first."""
    candidates = [*_of_rules(evidence), *_of_lists(evidence), *_measured(evidence), *_of_chance(evidence)]
    return [reason for reason in candidates if holds(reason, evidence)]


def _of_rules(evidence: Evidence) -> Iterator[Reason]:
    if evidence.found_by == "pin":
        yield from (Reason("pin", rule) for rule in evidence.pins)
        return
    yield from (Reason("boost", rule, factor) for rule, factor in evidence.boosts.items())


def _of_lists(evidence: Evidence) -> Iterator[Reason]:
    """The list that the card was found in."""
    found_by, item_id = evidence.found_by, evidence.item_id
    if found_by == "similar" and evidence.similar:
        yield Reason("similar", evidence.similar[0])
    source, _, fact = found_by.partition(": ")
    if source == "more_of" and evidence.more_of:
        yield Reason("more_of", evidence.more_of[0], more=fact)
    if found_by == "friends":
        yield Reason("friends")
    if found_by == "near_taste":
        liked = sorted(evidence.tags.items(), key=lambda tag: -tag[1])
        yield from (Reason("tag", tag, weight) for tag, weight in liked[:MAX_NAMED])
    if found_by == "new" and evidence.available_from is not None:
        yield Reason("new", amount=evidence.available_from)
    code: Code
    for code in ("popular", "hot", "trending", "editors"):
        listed = evidence.lists.get(code, ())
        if found_by == code and item_id in listed:
            yield Reason(code, amount=list(listed).index(item_id) + 1)
    yield from (Reason("words", word) for word in evidence.words[:MAX_NAMED])


def _measured(evidence: Evidence) -> Iterator[Reason]:
    """The parts of the request that count most, the whole history last: it is the least that can be said."""
    strengths = evidence.strengths
    ordered = sorted(evidence.effects.items(), key=lambda one: (one[0] == HISTORY, -strengths.get(one[0], one[1])))
    reasons = [Reason(part.kind, part.name, effect) for part, effect in ordered]
    named = [reason for reason in reasons if holds(reason, evidence)]
    yield from named[:MAX_NAMED]


def _of_chance(evidence: Evidence) -> Iterator[Reason]:
    yield Reason("exploration", amount=evidence.probability)
    yield from (Reason("experiment", name, more=arm) for name, arm in evidence.arms.items())


def holds(reason: Reason, evidence: Evidence) -> bool:
    """Whether the data carries a reason: nothing is told without this."""
    code, subject, amount = reason.code, reason.subject, reason.amount
    if code in ("event", "history", "feature", "context", "query"):
        return _is_measured(Part(code, subject), amount, evidence)
    if code in ("popular", "hot", "trending", "editors"):
        listed = evidence.lists.get(code, ())
        return amount is not None and 1 <= amount <= len(listed) and listed[int(amount) - 1] == evidence.item_id
    return {
        "similar": evidence.similar is not None
        and evidence.similar[0] == subject
        and evidence.item_id in evidence.similar[1],
        "more_of": evidence.more_of is not None
        and evidence.more_of[0] == subject
        and reason.more in evidence.more_of[1],
        "friends": not subject and evidence.item_id in evidence.lists.get("friends", ()),
        "words": bool(evidence.query) and subject in evidence.words,
        "tag": amount is not None and amount > 0 and evidence.tags.get(subject) == amount,
        "new": amount is not None and evidence.available_from == amount,
        "pin": evidence.found_by == "pin" and evidence.item_id in evidence.pins.get(subject, ()),
        "boost": amount is not None and amount > 1 and evidence.boosts.get(subject) == amount,
        "exploration": amount is not None and 0 < amount < 1 and evidence.probability == amount,
        "experiment": bool(reason.more) and evidence.arms.get(subject) == reason.more,
    }[code]


def _is_measured(part: Part, amount: float | None, evidence: Evidence) -> bool:
    """Whether the card stands above the others because of a part; of an event, clearly more than of any other."""
    if amount is None or amount <= 0 or evidence.effects.get(part) != amount:
        return False
    if part == QUERY:
        return bool(evidence.query)
    if part.kind != "event":
        return True
    others = [abs(e) for other, e in evidence.effects.items() if other.kind == "event" and other != part]
    typical = sum(others) / len(others) if others else 0.0
    return part.name in evidence.history and amount >= NAMED_FACTOR * typical
