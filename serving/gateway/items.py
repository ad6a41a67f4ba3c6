"""The items as pages need them: complete cards, interests, and the lists that ask no model."""

from __future__ import annotations

import functools
import heapq
import itertools
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from homefeed.serving.experiments import groups
from homefeed.serving.profiles.published import Item

MAX_WORDS = 6  # Of a title or a query that become interests.
MAX_TAG_LENGTH = 48
NUM_TASTES = 3
_WORD = re.compile(r"[^\W\d_]{4,}")
_SEARCHED = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")
_HAN = re.compile(r"[\u3400-\u9fff]{2,}")

Card = Mapping[str, Any]


class Items:
    """All items that can be shown, in memory.

    Args:
        items: as they were published.
        picks: ids that editors chose, best first.
        facts: columns of the cards that are facts, such as the series of a book.
        declared: columns that the table has, even where no card has a value.

    Attributes:
        cards: item id → its card: `item_id`, `title` and every column of the items table.
        titles: item id → title, also of items that can no longer be shown.
        popular: ids of all cards, most popular first; ties by id.
        has_popularity: whether anything was ever done with any of them.
        newest: ids of cards with an `available_from`, newest first.
        picks: those of the editors' that there are.
        columns: that are declared, or that some card has.
    """

    def __init__(
        self,
        items: Iterable[Item],
        picks: Sequence[str] = (),
        facts: Sequence[str] = (),
        declared: Iterable[str] = (),
    ):
        known = list(items)
        self.titles = {item.item_id: item.title for item in known}
        self.cards: dict[str, Card] = {item.item_id: _card(item) for item in known if item.card is not None}
        self._available_from = {item_id: card.get("available_from", 0) for item_id, card in self.cards.items()}
        popularity = {item.item_id: item.popularity for item in known}
        self.popular = sorted(self.cards, key=lambda item_id: (-popularity[item_id], item_id))
        self.has_popularity = any(popularity[item_id] for item_id in self.cards)
        dated = [item_id for item_id, card in self.cards.items() if card.get("available_from")]
        self.newest = sorted(dated, key=lambda item_id: (-self.cards[item_id]["available_from"], item_id))
        self.picks = [item_id for item_id in dict.fromkeys(picks) if item_id in self.cards]
        self.columns = frozenset(itertools.chain(declared, *self.cards.values()))
        self._languages = groups.told_apart(card.get("language") or "" for card in self.cards.values())
        self._segments = {item_id: _segments(card) for item_id, card in self.cards.items()}
        self._in_segment: dict[str, list[str]] = {}
        for item_id in self.popular:
            for tag in self._segments[item_id]:
                self._in_segment.setdefault(tag, []).append(item_id)
        self._with_word: dict[str, list[str]] = {}
        for item_id in self.popular:
            for word in searched(self.cards[item_id]["title"]):
                self._with_word.setdefault(word, []).append(item_id)

        self._facts = {item_id: _facts(card, facts) for item_id, card in self.cards.items()} if facts else {}
        self._with_fact: dict[str, list[str]] = {}
        for item_id in self.popular:
            for fact in self._facts.get(item_id, ()):
                self._with_fact.setdefault(fact, []).append(item_id)

    def has_more(self, item_id: str) -> bool:
        """Whether a fact on it is one on another item, too."""
        return any(len(self._with_fact[fact]) > 1 for fact in self._facts.get(item_id, ()))

    def more_of(self, item_id: str) -> Iterator[tuple[str, str]]:
        """Items that share a fact with one, each with the fact, as `series=Foundation`.

        Those of rarer facts come first, of one fact the more popular ones; an item that shares several comes once.
        """
        facts = sorted(self._facts.get(item_id, ()), key=lambda fact: (len(self._with_fact[fact]), fact))
        given = {item_id}
        for fact in facts:
            for other in self._with_fact[fact]:  # One at a time: a maker may have most of the catalogue.
                if other not in given:
                    given.add(other)
                    yield other, fact

    def shared(self, one: str, other: str) -> list[str]:
        """The facts that hold of both of two items."""
        return [fact for fact in self._facts.get(one, ()) if fact in self._facts.get(other, ())]

    def tags(self, item_id: str) -> tuple[str, ...]:
        """The interests that an item stands for: categories, language and words of its title."""
        card = self.cards.get(item_id)
        return (*self._segments[item_id], *words(card["title"])) if card else ()

    def segments(self, item_id: str) -> Sequence[str]:
        """Its categories and language, as interests."""
        return self._segments.get(item_id, ())

    def is_available(self, item_id: str, now: float) -> bool:
        """Whether there is a card, and its `available_from` is not in the future."""
        return self._available_from.get(item_id, math.inf) <= now

    def groups(self, item_id: str, reader: str, now: float) -> groups.Groups:
        """The groups of a card, shown to a reader of a group."""
        card = self.cards[item_id]
        language = groups.by_language(card.get("language") or "", self._languages)
        return reader, groups.by_age(card.get("available_from"), now), language

    def near(self, taste: Mapping[str, float]) -> Iterator[str]:
        """Popular items of the categories and languages that somebody likes most, one of each in turn."""
        liked = ((tag, weight) for tag, weight in taste.items() if weight > 0 and tag in self._in_segment)
        best = heapq.nsmallest(NUM_TASTES, liked, key=lambda tag: (-tag[1], tag[0]))
        disliked = {tag for tag, weight in taste.items() if weight < 0}
        rounds = itertools.zip_longest(*(self._in_segment[tag] for tag, _ in best))
        found = (item_id for each in rounds for item_id in each if item_id is not None)
        return (item_id for item_id in found if disliked.isdisjoint(self._segments[item_id]))

    def search(self, text: str) -> list[str]:
        """Items with words of a text in their titles: those with more of them first, then the popular ones."""
        found = Counter(item_id for word in searched(text) for item_id in self._with_word.get(word, ()))
        order = {item_id: place for place, item_id in enumerate(self.popular)} if found else {}
        return sorted(found, key=lambda item_id: (-found[item_id], order[item_id]))


def searched(text: str) -> set[str]:
    """The words of a text, and of Chinese the characters."""
    return set(_SEARCHED.findall(text.lower()))


@functools.lru_cache(50_000)
def words(text: str) -> tuple[str, ...]:
    """Interests that a text speaks of.

    >>> words("Star Wars: 星球大战 (1977)")
    ('word:star', 'word:wars', 'word:星球', 'word:球大', 'word:大战')
    """
    lowered = text.lower()
    plain = [word for word in _WORD.findall(lowered) if not _HAN.search(word)]
    pairs = [run[at : at + 2] for run in _HAN.findall(lowered) for at in range(len(run) - 1)]
    return tuple(f"word:{word[:MAX_TAG_LENGTH]}" for word in dict.fromkeys([*plain, *pairs]))[:MAX_WORDS]


def _card(item: Item) -> Card:
    columns = dict(item.card or {})
    if "categories" in columns:
        columns["categories"] = _as_list(columns["categories"])
    return {**columns, "item_id": item.item_id, "title": item.title}


def _segments(card: Card) -> list[str]:
    """A card's categories and language, as interests."""
    categories = [f"categories:{name[:MAX_TAG_LENGTH]}" for name in card.get("categories", ())]
    return categories + ([f"language:{card['language'][:MAX_TAG_LENGTH]}"] if card.get("language") else [])


def _facts(card: Card, columns: Sequence[str]) -> list[str]:
    """As `series=Foundation`; many items have the same ones."""
    return [sys.intern(f"{name}={value}") for name in columns if name in card for value in _as_list(card[name])]


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
