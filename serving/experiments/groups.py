"""Groups of cards of which it is told apart how good pages are: by reader, by age of the item, by its language.

Each of the three parts all cards, into groups whose number no catalogue and no crowd of readers makes larger.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator
from typing import Literal, get_args

By = Literal["reader", "age", "language"]
BYS: tuple[By, ...] = get_args(By)
Groups = tuple[str, str, str]
"""The group of a card, by each of BYS."""

NEWCOMER, KNOWN = "new", "known"
NEW, OLDER, UNDATED = "new", "older", "undated"
NEW_SECONDS = 7 * 86_400  # After its `available_from` an item is new for so long.
MAX_LANGUAGES = 10  # With most items; the others are one group.
OTHER, NO_LANGUAGE = "other", "none"


def by_reader(is_new: bool) -> str:
    """The group of a reader of whom the data know nothing that they did, and of any other."""
    return NEWCOMER if is_new else KNOWN


def by_age(available_from: float | None, now: float) -> str:
    """The group of an item.

    Args:
        available_from: Unix seconds; None: nothing is said.
        now: Unix seconds.

    >>> by_age(1_000_000, 1_000_000 + NEW_SECONDS), by_age(1_000_000, 1_000_001 + NEW_SECONDS), by_age(None, 0)
    ('new', 'older', 'undated')
    """
    if available_from is None:
        return UNDATED
    return NEW if now - available_from <= NEW_SECONDS else OLDER


def told_apart(languages: Iterable[str]) -> frozenset[str]:
    """The languages, of one a card, that have a group of their own: those of most cards, ties by name.

    >>> sorted(told_apart(["zh", "en", "en", ""]))
    ['en', 'zh']
    """
    found = collections.Counter(filter(None, languages))
    return frozenset(sorted(found, key=lambda name: (-found[name], name))[:MAX_LANGUAGES])


def by_language(language: str, known: frozenset[str]) -> str:
    """The group of an item.

    Args:
        language: of its card; "": none.
        known: those that are told apart.
    """
    if not language:
        return NO_LANGUAGE
    return language if language in known else OTHER


def named(groups: Groups) -> Iterator[tuple[By, str]]:
    """By what, and which group."""
    return zip(BYS, groups, strict=True)
