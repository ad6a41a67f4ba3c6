"""A page from what was found: pure functions of lists, profile and catalogue."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from homefeed.models.requests import Event, Request
from homefeed.serving.gateway.items import Card, Items
from homefeed.serving.profiles.live import HIDING, LiveProfile, decay, weight

MAX_HISTORY = 200  # Newest events that a model is told.
CATEGORY = "categories:"  # An interest's name begins with it.
NUM_TASTE_EVENTS = 30  # Newest events of the data that a taste is made of, beside the live ones.


class Place(NamedTuple):
    """An item of the main list.

    Attributes:
        score, probability: of the model; None: nothing scored it.
        deviation: of the probability's log-odds; None: nothing says how sure it is.
    """

    item_id: str
    score: float | None = None
    probability: float | None = None
    deviation: float | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a page.

    Attributes:
        id: a name that surfaces know, or `more`.
        reason: `code`, and the item or the query that it is about.
        cards: what is shown.
    """

    id: str
    reason: Mapping[str, Any]
    cards: list[Card]


@dataclasses.dataclass(frozen=True)
class Reader:
    """Who looks at the page, as far as the page depends on it.

    Attributes:
        request: what models are told: the data's history, then the live one.
        taste: interest → weight now.
        excluded: items that must not be shown: seen, hidden, or on an earlier page of the same scrolling.
        is_new: whether nothing is known that they did, whatever models are told.
    """

    request: Request
    taste: Mapping[str, float]
    excluded: frozenset[str]
    is_new: bool = False


@dataclasses.dataclass(frozen=True)
class Known:
    """What the data says of a user as of the last push; it stays the same until the next one.

    Attributes:
        profile: features and the whole history.
        seen: items of the history.
        taste: interest → weight at the time of the newest event.
    """

    profile: Request
    seen: frozenset[str]
    taste: Mapping[str, float]


def known(profile: Request, items: Items) -> Known:
    """What pages need of a profile.

    An interest fades from the newest event on, not from now: who comes back after a year is still known.
    """
    weights: dict[str, float] = {}
    newest = max((event.timestamp for event in profile.history), default=0)
    for event in profile.history[-NUM_TASTE_EVENTS:]:
        amount = weight(event.event_type) * decay(newest - event.timestamp)
        for tag in items.tags(event.item_id):
            weights[tag] = weights.get(tag, 0.0) + amount
    return Known(profile, frozenset(event.item_id for event in profile.history), weights)


def reader(known: Known, live: LiveProfile, seen: Collection[str], now: float, query: Sequence[int] = ()) -> Reader:
    """What is known of a user at this moment.

    Args:
        known: as of the last push.
        live: what they did since.
        seen: items that live events rule out.
        now: Unix seconds.
        query: token ids of a text that is searched for.
    """
    profile, excluded = known.profile, known.seen.union(seen, live.hidden)
    is_new = not (profile.history or live.packed)
    if not live.is_personalised:
        return Reader(Request(profile.user_id, timestamp=int(now), query_token_ids=query), {}, excluded, is_new)
    request = Request(profile.user_id, merged_history(profile.history, live), profile.features, int(now), query)
    taste = dict(known.taste)
    fading = decay(max(0.0, now - live.as_of))
    for tag, value in live.tags.items():
        taste[tag] = taste.get(tag, 0.0) + value * fading
    return Reader(request, taste, excluded, is_new)


def merged_history(known: Sequence[Event], live: LiveProfile) -> list[Event]:
    """The data's events, then the live ones that the data does not have yet, without what was hidden; the newest."""
    if not live.packed:
        return list(known[-MAX_HISTORY:])
    recorded = {(event.item_id, event.event_type, event.timestamp) for event in known[-MAX_HISTORY:]}
    hidden = set(live.hidden)
    fresh = [
        Event(event.item_id, float("nan") if event.value is None else event.value, event.type, event.at)
        for event in live.history()
        if (event.item_id, event.type, event.at) not in recorded
    ]
    kept = [event for event in known[-MAX_HISTORY:] if event.item_id not in hidden]
    return [*kept, *fresh][-MAX_HISTORY:]


def popular(items: Items, taste: Mapping[str, float]) -> Iterator[Place]:
    """What is popular near a taste, then what is popular; no item twice."""
    return places(_distinct(itertools.chain(items.near(taste), items.popular)))


def places(item_ids: Iterable[str]) -> Iterator[Place]:
    """Places of a list that nothing scored."""
    return map(Place, item_ids)


def _distinct(item_ids: Iterable[str]) -> Iterator[str]:
    given = set[str]()
    for item_id in item_ids:
        if item_id not in given:
            given.add(item_id)
            yield item_id


def strongest(taste: Mapping[str, float], count: int = 3) -> list[str]:
    """The interests that weigh most, words left out."""
    liked = [(-value, tag) for tag, value in taste.items() if value > 0 and not tag.startswith("word:")]
    return [tag.partition(":")[2] for _, tag in heapq.nsmallest(count, liked)]


def unexpected(segments: Iterable[Sequence[str]], taste: Mapping[str, float]) -> list[float]:
    """How far items are outside of a reader's interests: 1 less how much they like its categories, on average, as a
    share of what they like most; 0 of who has no interests and of what has no category.

    Args:
        segments: of each item, its categories and language as interests.
        taste: interest → weight.

    >>> unexpected([["categories:war", "categories:drama"]], {"categories:drama": 2.0, "categories:comedy": 4.0})
    [0.75]
    """
    liked = {tag: value for tag, value in taste.items() if tag.startswith(CATEGORY) and value > 0}
    most = max(liked.values(), default=0.0)
    shares = []
    for tags in segments:
        categories = [liked.get(tag, 0.0) for tag in tags if tag.startswith(CATEGORY)]
        shares.append(sum(categories) / len(categories) / most if most and categories else 1.0)
    return [round(1 - share, 3) for share in shares]  # Rounded, so that a page can be made again.


def anchor(history: Sequence[Event], is_known: Callable[[str], bool]) -> str | None:
    """The newest item of a history that a row can be about."""
    newest = (event.item_id for event in reversed(history) if event.event_type not in HIDING)
    return next(filter(is_known, newest), None)
