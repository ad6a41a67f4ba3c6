"""Rules as they stand to a catalogue, and those of them that count for one page."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from homefeed.serving.policy.rules import Card, Rule, Rules

MAX_SEARCHED = 10_000  # Of the most popular items, where a rule leaves no candidate.
MAX_ADMITTED = 500  # Of those that are remembered.
MAX_SEARCHES = 64


class Counting(NamedTuple):
    """A rule that counts for a page."""

    name: str
    rule: Rule
    bit: int


class Limit(NamedTuple):
    """Of so many cards with a value, a page has at most so many: of a `cap`, or of a `quota` ("")."""

    rule: str
    value: str
    at_most: int


class Ruling:
    """Rules of a file, and which of them are about which item: that is found out once.

    Args:
        rules: of the file.
        cards: item id → card.
        popular: ids of all cards, most popular first.
    """

    def __init__(self, rules: Rules, cards: Mapping[str, Card], popular: Sequence[str]):
        self.rules, self._cards, self._popular = rules, cards, popular
        self._counting = [Counting(name, rule, 1 << n) for n, (name, rule) in enumerate(rules.by_name.items())]
        conditions = [(one, one.rule.condition) for one in self._counting if one.rule.condition]
        self._fixed = [(one.bit, one.rule) for one, condition in conditions if not condition.is_timed]
        self._timed = [(one.bit, one.rule) for one, condition in conditions if condition.is_timed]
        self._denials = sum(one.bit for one in self._counting if one.rule.is_denial)
        self._bits: dict[str, int] = {}
        self._admitted: dict[tuple[int, int], list[str]] = {}

    def counting(
        self,
        reader: Mapping[str, object],
        now: float,
        names: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> InForce:
        """The rules that count.

        Args:
            reader: feature of the users table → value.
            now: Unix seconds.
            names: of the rules of a surface, beside which denials count; None: all.
            without: names of rules that are set aside.
        """
        found = [
            one
            for one in self._counting
            if (names is None or one.name in names or one.rule.is_denial)
            and one.name not in without
            and one.rule.counts(reader, now)
        ]
        return InForce(self, found, now)

    def bits(self, item_id: str, now: float) -> int:
        """The rules that are about an item, a bit each."""
        found = self._bits.get(item_id)
        if found is None:
            found = self._bits[item_id] = _bits(self._fixed, self._cards[item_id], now)
        return found | _bits(self._timed, self._cards[item_id], now) if self._timed else found

    def is_denied(self, item_id: str) -> bool:
        """Whether nobody may be shown an item."""
        return bool(self._denials and item_id in self._cards and self._fixed_bits(item_id) & self._denials)

    def denied(self) -> dict[str, int]:
        """Denial → how many items of the catalogue it is about."""
        bits = [self._fixed_bits(item_id) for item_id in self._cards] if self._denials else []
        return {one.name: sum(bool(of & one.bit) for of in bits) for one in self._counting if one.rule.is_denial}

    def admitted(self, blocks: int, allows: int) -> list[str]:
        """Popular items that some rules admit, as far as they do not depend on the time."""
        key = (blocks, allows & ~sum(bit for bit, _ in self._timed))
        if key not in self._admitted:
            if len(self._admitted) >= MAX_SEARCHES:
                self._admitted.clear()
            looked_at = itertools.islice(self._popular, MAX_SEARCHED)
            fixed = (item for item in looked_at if _admits(self._fixed_bits(item), *key))
            self._admitted[key] = list(itertools.islice(fixed, MAX_ADMITTED))
        return self._admitted[key]

    def card(self, item_id: str) -> Card:
        """The card of an item."""
        return self._cards[item_id]

    def _fixed_bits(self, item_id: str) -> int:
        if item_id not in self._bits:
            self._bits[item_id] = _bits(self._fixed, self._cards[item_id], 0.0)
        return self._bits[item_id]


class InForce:
    """The rules of one page.

    Attributes:
        rules: in the order of the file.
        boosts: bit → factor.
    """

    def __init__(self, ruling: Ruling, rules: Sequence[Counting], now: float):
        self._ruling, self.rules, self._now = ruling, rules, now
        self._blocks = sum(one.bit for one in rules if one.rule.keeps_off)
        self._allows = sum(one.bit for one in rules if one.rule.allow is not None)
        self.boosts = [(one.bit, one.rule.by or 1.0) for one in rules if one.rule.boost is not None]
        self._boosting = sum(bit for bit, _ in self.boosts)
        self._factors: dict[int, float] = {}
        self._most = [one for one in rules if one.rule.at_most is not None]
        self._least = [one for one in rules if one.rule.at_least is not None]
        self._pins = [one for one in rules if one.rule.pin is not None]

    def admits(self, item_id: str) -> bool:
        """Whether no rule blocks an item and all that allow some allow it."""
        if not self._blocks and not self._allows:
            return True
        bits = self._ruling.bits(item_id, self._now)
        return not bits & self._blocks and bits & self._allows == self._allows

    def refusing(self, item_id: str) -> str:
        """The first rule that keeps an item off every page; "": none."""
        bits = self._ruling.bits(item_id, self._now)
        for name, rule, bit in self.rules:
            if (rule.keeps_off and bits & bit) or (rule.allow is not None and not bits & bit):
                return name
        return ""

    def factor(self, item_id: str) -> float:
        """By how much an item is boosted."""
        bits = self._ruling.bits(item_id, self._now) & self._boosting
        if bits not in self._factors:
            self._factors[bits] = math.prod(by for bit, by in self.boosts if bits & bit)
        return self._factors[bits]

    def pins(self, row: str, is_first: bool) -> Iterator[str]:
        """Items at the head of a row."""
        for one in self._pins:
            if _is_for(one.rule, row, is_first):
                yield from one.rule.pin or ()

    def tally(self) -> Tally:
        """Counts the cards of a page."""
        return Tally(self._ruling, self._most, self._least, self._now)

    def popular(self) -> list[str]:
        """Popular items that may stand on the page, wherever the lists end."""
        return self._ruling.admitted(self._blocks, self._allows)

    def loose(self) -> list[str]:
        """Rules that keep cards off and are not strict, those that stand last in the file first."""
        filters = [one for one in self.rules if one.rule.effect in ("block", "allow") or one.rule.at_most is not None]
        return [one.name for one in reversed(filters) if not one.rule.strict]


class Tally:
    """How much of what rules limit a page has."""

    def __init__(self, ruling: Ruling, most: Sequence[Counting], least: Sequence[Counting], now: float):
        self._ruling, self._now, self._most, self._least = ruling, now, most, least
        self._counts: dict[Limit, int] = {}
        self._limits: dict[str, list[Limit]] = {}
        self._had = dict.fromkeys((one.name for one in least), 0)

    def limits(self, item_id: str) -> list[Limit]:
        """What a card counts for."""
        if item_id not in self._limits:
            self._limits[item_id] = [
                Limit(name, value, rule.at_most or 0)
                for name, rule, bit in self._most
                for value in self._counted(item_id, rule, bit)
            ]
        return self._limits[item_id]

    def is_reached(self, limit: Limit) -> bool:
        """Whether the page has no room for another such card."""
        return self._counts.get(limit, 0) >= limit.at_most

    def full(self, item_id: str) -> str:
        """The rule whose limit another such card would exceed; "": none."""
        return next((limit.rule for limit in self.limits(item_id) if self.is_reached(limit)), "")

    def add(self, item_id: str) -> None:
        """A card stands on the page."""
        for limit in self.limits(item_id):
            self._counts[limit] = self._counts.get(limit, 0) + 1
        for name, _, bit in self._least:
            self._had[name] += bool(self._ruling.bits(item_id, self._now) & bit)

    def lacking(self, row: str, is_first: bool) -> dict[int, int]:
        """Bit of a rule → cards that a row still owes it."""
        owed = {
            one.bit: (one.rule.at_least or 0) - self._had[one.name]
            for one in self._least
            if _is_for(one.rule, row, is_first)
        }
        return {bit: count for bit, count in owed.items() if count > 0}

    def bits(self, item_id: str) -> int:
        """The rules that are about an item."""
        return self._ruling.bits(item_id, self._now)

    def unmet(self) -> list[str]:
        """Rules of whose cards the page has too few: there were no more."""
        return [one.name for one in self._least if self._had[one.name] < (one.rule.at_least or 0)]

    def _counted(self, item_id: str, rule: Rule, bit: int) -> list[str]:
        if rule.cap is None:
            return [""] if self._ruling.bits(item_id, self._now) & bit else []
        value = self._ruling.card(item_id).get(rule.cap)
        if value is None:
            return []
        return [*dict.fromkeys(map(str, value))] if isinstance(value, list | tuple) else [str(value)]


def _admits(bits: int, blocks: int, allows: int) -> bool:
    return not bits & blocks and bits & allows == allows


def _bits(rules: Sequence[tuple[int, Rule]], card: Card, now: float) -> int:
    return sum(bit for bit, rule in rules if rule.is_about(card, now))


def _is_for(rule: Rule, row: str, is_first: bool) -> bool:
    return rule.row == row if rule.row else is_first
