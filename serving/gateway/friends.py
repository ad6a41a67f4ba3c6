"""What the people took whom a reader is related to, as one list that tells nobody apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from homefeed.models.requests import Event
from homefeed.serving.gateway.page import merged_history
from homefeed.serving.profiles.live import HIDING, NOT_SEEN, LiveProfile, decay, weight

NUM_EVENTS = 10  # Newest events of each of them, of which the live ones come last.
MIN_PEOPLE = 2  # A list of one person's choices would name that person.


def taken(people: Iterable[tuple[Sequence[Event], LiveProfile]], excluded: Collection[str], count: int) -> list[str]:
    """What several people took, newer and liked items and those of more people first; ties by id.

    It fades from the newest event of all of them on, not from now. Who wants no page of their own is no reason for
    others', either.

    Args:
        people: the newest events of the data, and what each did since.
        excluded: items that the reader is not shown.
        count: of items, at most.

    Returns:
        Items; none, where fewer than MIN_PEOPLE took something.
    """
    histories = [found for events, live in people if (found := _positive(events, live))]
    if len(histories) < MIN_PEOPLE:
        return []
    newest = max(event.timestamp for history in histories for event in history)
    weights: dict[str, float] = {}
    for history in histories:
        of_one: dict[str, float] = {}
        for event in history:
            amount = weight(event.event_type) * decay(newest - event.timestamp)
            of_one[event.item_id] = max(amount, of_one.get(event.item_id, 0.0))
        for item_id, amount in of_one.items():
            weights[item_id] = weights.get(item_id, 0.0) + amount
    order = sorted(weights.keys() - excluded, key=lambda item_id: (-weights[item_id], item_id))
    return order[:count]


def _positive(events: Sequence[Event], live: LiveProfile) -> list[Event]:
    """The newest events with what somebody took and did not turn against."""
    if not live.is_personalised:
        return []
    history = merged_history(events, live)
    disliked = {event.item_id for event in history if event.event_type in HIDING}
    kept = [e for e in history if e.event_type not in NOT_SEEN and e.item_id not in disliked]
    return kept[-NUM_EVENTS:]
