"""What a request is without some of its parts, and what that does to an item of the list."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from homefeed.models.requests import Request

MAX_EVENTS = 50  # The newest items of a history that are looked at one by one.
MAX_RIVALS = 8  # Of them, those that may be named first.

Kind = Literal["event", "history", "feature", "context", "query"]
Scores = Mapping[str, float]
"""A list: item → the score by which it is sorted, best first."""
Ask = Callable[[Sequence[Request]], Sequence[Scores]]
"""Requests → the list of each."""


class Part(NamedTuple):
    """A part of a request.

    Attributes:
        kind: of it.
        name: the item id of events, all with one item together; of a feature or context, its name; else "".
    """

    kind: Kind
    name: str = ""


HISTORY, QUERY = Part("history"), Part("query")


def events_of(request: Request, most: int = MAX_EVENTS) -> list[Part]:
    """The items of the history, newest first, at most so many."""
    return [Part("event", item) for item in dict.fromkeys(e.item_id for e in reversed(request.history))][:most]


def parts_of(request: Request) -> list[Part]:
    """What a request says of its user: items of the history, all of it, each feature and context, and the query."""
    parts = [*events_of(request), *([HISTORY] if request.history else [])]
    parts += [Part("feature", name) for name in request.features]
    parts += [Part("context", name) for name in request.context]
    return [*parts, *([QUERY] if len(request.query_token_ids) else [])]


def without(request: Request, parts: Collection[Part]) -> Request:
    """The request as if these parts had never been."""
    gone = set(parts)
    history = () if HISTORY in gone else [e for e in request.history if Part("event", e.item_id) not in gone]
    return dataclasses.replace(
        request,
        history=history,
        features={name: value for name, value in request.features.items() if Part("feature", name) not in gone},
        context={name: value for name, value in request.context.items() if Part("context", name) not in gone},
        query_token_ids=() if QUERY in gone else request.query_token_ids,
    )


def lead(scores: Scores, item: str, others: Iterable[str]) -> float:
    """By how much an item's score is above the mean of some others.

    Less of a history may lift or lower a whole list; what a person sees is who stands above whom. An item that is not
    in the list counts as its lowest: the lead is then at most so much.

    Args:
        scores: of one list.
        item: whose lead.
        others: that it is held against; itself does not count.

    >>> lead({"a": 3.0, "b": 1.0, "c": 0.0}, "a", ["a", "b", "c", "gone"])
    2.6666666666666665
    """
    lowest = min(scores.values(), default=0.0)
    rest = [scores.get(other, lowest) for other in others if other != item]
    return scores.get(item, lowest) - (sum(rest) / len(rest) if rest else 0.0)


def drops(full: Scores, less: Sequence[Scores], item: str, others: Sequence[str]) -> list[float]:
    """How much of an item's lead is lost in each of some lists; negative: it gains."""
    before = lead(full, item, others)
    return [before - lead(scores, item, others) for scores in less]


def rivals_of(effects: Mapping[Part, float]) -> list[Part]:
    """The events that an item loses most without, the most telling first.

    Args:
        effects: part → lead that is lost without it.
    """
    helping = [part for part, effect in effects.items() if part.kind == "event" and effect > 0]
    return sorted(helping, key=lambda part: -effects[part])[:MAX_RIVALS]


def trials_of(rivals: Sequence[Part]) -> list[list[Part]]:
    """What is to be taken away to learn what each rival does alone: all of them, and all but each."""
    return [[*rivals], *([other for other in rivals if other != one] for one in rivals)]


def strengths(effects: Mapping[Part, float], rivals: Sequence[Part], leads: Sequence[float]) -> dict[Part, float]:
    """What each rival does: the mean of what is lost when it goes first, and of what it gains when it comes first.

    An event that others make up for loses little by itself. These two are the ends of what Shapley values are the
    mean of, and name the same event first much more often than the loss alone.

    Args:
        effects: part → lead that is lost without it.
        rivals: that are compared.
        leads: of the item in each of the `trials_of` them.
    """
    nothing, *alone = leads
    return {one: (effects[one] + only - nothing) / 2 for one, only in zip(rivals, alone, strict=True)}
