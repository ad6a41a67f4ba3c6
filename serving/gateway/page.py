"""A page from what was found: pure functions of lists, profile and catalogue."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from homefeed.models.requests import Event, Request
from homefeed.serving.gateway.items import Card, Items
from homefeed.serving.profiles.live import HIDING, LiveProfile, decay, weight

MAX_HISTORY = 200  # Newest events that a model is told.
NUM_TASTE_EVENTS = 30  # Newest events of the data that a taste is made of, beside the live ones.
SCORE = ("score", "probability")

Place = tuple[str, float | None, float | None]  # Item id, score, probability; None where nothing scored it.


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a page.

    Attributes:
        id: `search`, `for_you`, `because`, `new`, `near_taste`, `editors` or `more`.
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
    """

    request: Request
    taste: Mapping[str, float]
    excluded: frozenset[str]


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
    if live.settings.get("personalised", True) is False:
        return Reader(Request(profile.user_id, timestamp=int(now), query_token_ids=query), {}, excluded)
    request = Request(profile.user_id, merged_history(profile.history, live), profile.features, int(now), query)
    taste = dict(known.taste)
    fading = decay(max(0.0, now - live.as_of))
    for tag, value in live.tags.items():
        taste[tag] = taste.get(tag, 0.0) + value * fading
    return Reader(request, taste, excluded)


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


class Arrangement:
    """Gives out cards so that no item stands on a page twice, and none that must not be shown.

    What rules and diversity have to say belongs between `candidates` and the cards that `take` makes of them.

    Args:
        items: the catalogue.
        excluded: what must not be shown.
        k: cards of a row.
        now: Unix seconds.
    """

    def __init__(self, items: Items, excluded: Collection[str], k: int, now: float):
        self._items, self._k, self._now = items, k, now
        self._used = set(excluded)

    def take(self, candidates: Iterable[Place], count: int | None = None) -> list[Card]:
        """The first that may be shown, as complete cards."""
        allowed = (place for place in candidates if self._may_show(place[0]))
        return [self._card(*place) for place in itertools.islice(allowed, self._k if count is None else count)]

    def _may_show(self, item_id: str) -> bool:
        return item_id not in self._used and self._items.is_available(item_id, self._now)

    def _card(self, item_id: str, score: float | None, probability: float | None) -> Card:
        self._used.add(item_id)
        scored = {name: value for name, value in zip(SCORE, (score, probability), strict=True) if value is not None}
        return {**self._items.cards[item_id], **scored}


def first_page(
    arrangement: Arrangement,
    items: Items,
    reader: Reader,
    found: Sequence[Place],
    source: str,
    similar: tuple[str, Sequence[str]] | None,
    query: str = "",
) -> list[Row]:
    """The rows of a page, the empty ones left out.

    Args:
        arrangement: gives out the cards.
        items: the catalogue.
        reader: who looks.
        found: what was found for them, best first.
        source: what it was made from.
        similar: an item that they had, and items that are like it.
        query: what they search for.
    """
    main = ("search", {"code": "query", "query": query}) if query else ("for_you", {"code": source})
    # A list of long ago, or of a small model, may hold too little that is new: what is popular fills the row.
    rows = [Row(*main, arrangement.take(found if query else itertools.chain(found, popular(items, reader.taste))))]
    if similar and similar[1]:
        about = {"code": "because", "item_id": similar[0], "title": items.titles.get(similar[0], similar[0])}
        rows.append(Row("because", about, arrangement.take(unscored(similar[1]))))
    rows.append(Row("new", {"code": "new"}, arrangement.take(unscored(items.newest))))
    near = arrangement.take(unscored(items.near(reader.taste)))
    rows.append(Row("near_taste", {"code": "near_taste", "tags": strongest(reader.taste)}, near))
    rows.append(Row("editors", {"code": "editors"}, arrangement.take(unscored(items.picks))))
    return [row for row in rows if row.cards]


def more(arrangement: Arrangement, items: Items, found: Sequence[Place], source: str, k: int) -> list[Row]:
    """The next row for somebody who scrolls on: what was found, then the popular; none at the end of all items."""
    cards = arrangement.take(found)
    cards += arrangement.take(unscored(items.popular), k - len(cards))
    return [Row("more", {"code": source}, cards)] if cards else []


def popular(items: Items, taste: Mapping[str, float]) -> Iterator[Place]:
    """What is popular near a taste, then what is popular; no item twice."""
    return unscored(_distinct(itertools.chain(items.near(taste), items.popular)))


def _distinct(item_ids: Iterable[str]) -> Iterator[str]:
    given = set[str]()
    for item_id in item_ids:
        if item_id not in given:
            given.add(item_id)
            yield item_id


def unscored(item_ids: Iterable[str]) -> Iterator[Place]:
    """Places that nothing scored."""
    return ((item_id, None, None) for item_id in item_ids)


def strongest(taste: Mapping[str, float], count: int = 3) -> list[str]:
    """The interests that weigh most, words left out."""
    liked = [(-value, tag) for tag, value in taste.items() if value > 0 and not tag.startswith("word:")]
    return [tag.partition(":")[2] for _, tag in heapq.nsmallest(count, liked)]


def anchor(history: Sequence[Event], is_known: Callable[[str], bool]) -> str | None:
    """The newest item of a history that a row can be about."""
    newest = (event.item_id for event in reversed(history) if event.event_type not in HIDING)
    return next(filter(is_known, newest), None)
