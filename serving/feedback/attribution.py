"""Attribution: which page an action is owed to. Served, seen and acted are three facts, joined however late they are.

A token proves the page that an event happened on. An action that names no page, such as a purchase that the shop's
server sends, is owed to the last proved touch of its item within a window. An event that names a page without proof
is kept and owed to none. Repeated deliveries change nothing: facts are sets.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from homefeed.serving.profiles.live import COMMANDS, IMPRESSION, LiveEvent

WINDOW_SECONDS = 7 * 86_400
UNPROVED = "unproved"
"""The page of an event whose token is forged, and that names no other."""


@dataclasses.dataclass(frozen=True)
class Card:
    """A card that was served, and what became of it.

    Attributes:
        impression_id: of its page.
        item_id: what it shows.
        position: its place on the page, from 0.
        row: id of its row.
        found_by: the source that found it.
        propensity: probability of the card at its place, given those above it.
        is_seen: whether it was seen, or acted on; None: nobody told of any card of the page.
        acted: types of the actions that are owed to it, in alphabetical order.
    """

    impression_id: str
    item_id: str
    position: int
    row: str
    found_by: str
    propensity: float = 1.0
    is_seen: bool | None = None
    acted: tuple[str, ...] = ()


def attribute(events: Iterable[LiveEvent], window_seconds: int = WINDOW_SECONDS) -> dict[str, str]:
    """Event id → impression id of the page that the event is owed to; events that are owed to none are left out.

    Args:
        events: of one user, in any order; one that comes twice counts once.
        window_seconds: how long before an action without a page its touch may be.
    """
    named = {event.event_id: event for event in events}
    touches: defaultdict[str, set[tuple[int, str]]] = defaultdict(set)
    for event in named.values():
        if event.attributed and event.item_id:
            touches[event.item_id].add((event.at, event.impression_id))
    ordered = {item: sorted(found) for item, found in touches.items()}
    owed = {}
    for event in named.values():
        if event.attributed:
            owed[event.event_id] = event.impression_id
        elif not event.impression_id and is_action(event):
            found = ordered.get(event.item_id, [])
            place = bisect.bisect_right(found, event.at, key=lambda touch: touch[0])
            if place and found[place - 1][0] >= event.at - window_seconds:
                owed[event.event_id] = found[place - 1][1]
    return owed


def is_action(event: LiveEvent) -> bool:
    """Whether something was done with an item."""
    return bool(event.item_id) and is_action_type(event.type)


def is_action_type(kind: str) -> bool:
    """Whether events of a type are something done with an item, if they have one."""
    return kind not in (*COMMANDS, IMPRESSION, "search")


def served(page: Mapping[str, Any]) -> list[Card]:
    """The cards of a page as it was recorded, from its top."""
    cards = [
        (item, row["id"], found_by, propensity)
        for row in page["rows"]
        for item, found_by, propensity in zip(row["items"], row["found_by"], _propensities(row), strict=True)
    ]
    return [Card(page["impression_id"], card[0], place, *card[1:]) for place, card in enumerate(cards)]


def _propensities(row: Mapping[str, Any]) -> Sequence[float]:
    """Of the cards of a row; it has none where nothing was left to chance."""
    found: Sequence[float] = row.get("propensities") or [1.0] * len(row["items"])
    return found


def joined(pages: Iterable[Sequence[Card]], events: Iterable[LiveEvent], owed: Mapping[str, str]) -> list[list[Card]]:
    """Pages whose cards know whether they were seen and what was done with them.

    Args:
        pages: of one user.
        events: of the same user.
        owed: as of `attribute`.
    """
    seen: set[tuple[str, str]] = set()
    acted: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for event in events:
        card = (owed.get(event.event_id, ""), event.item_id)
        if card[0]:
            seen.add(card)
        if card[0] and is_action(event):
            acted[card].add(event.type)
    return [[_told(card, seen, acted, _is_measured(page, seen)) for card in page] for page in pages]


def _is_measured(page: Sequence[Card], seen: set[tuple[str, str]]) -> bool:
    return any((card.impression_id, card.item_id) in seen for card in page)


def _told(
    card: Card, seen: set[tuple[str, str]], acted: Mapping[tuple[str, str], set[str]], is_measured: bool
) -> Card:
    name = (card.impression_id, card.item_id)
    actions = tuple(sorted(acted.get(name, ())))
    return dataclasses.replace(card, is_seen=name in seen if is_measured else None, acted=actions)
