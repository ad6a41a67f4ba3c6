"""Events as they come in: read, held to their rates, stored once each, and answered one by one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from homefeed.serving.feedback.attribution import UNPROVED
from homefeed.serving.gateway.impressions import Impressions, Shown
from homefeed.serving.gateway.items import words
from homefeed.serving.gateway.limits import Rate, TooMuch
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.published import Published
from homefeed.serving.gateway.schema import EventAnswer, EventIn, Rejected, live_event
from homefeed.serving.gateway.shown import ShownPages
from homefeed.serving.log.sender import Sender
from homefeed.serving.profiles import LiveEvent, Outcome, Store

Read = Callable[[Any, float], EventIn | Rejected]


class Intake:
    """Takes events into a store.

    Args:
        store: where they are kept.
        rate: of each user.
        metrics: where they are counted.
        shown: knows the cards of pages.
        sender: to the log that must have them before they are answered; None: there is none.
    """

    def __init__(self, store: Store, rate: Rate, metrics: Metrics, shown: ShownPages, sender: Sender | None = None):
        self._live, self._rate, self._metrics, self._shown = store, rate, metrics, shown
        self._sender = sender

    async def take(
        self, said: Sequence[Any], read: Read, published: Published, impressions: Impressions
    ) -> list[EventAnswer]:
        """Stores events, each once; an answer is the promise that the next page knows it.

        Args:
            said: the events as they were sent.
            read: knows what they mean.
            published: the catalogue that gives them their tags, and the names of users.
            impressions: knows the tokens of pages.

        Raises:
            StoreError: nothing of it was stored.
            TooMuch: all of it is of users who send too much; of some among others, the events are refused.
        """
        now, arrived = time.time(), time.perf_counter()
        meant = self._within_rates([read(one, now) for one in said])
        events = [
            await self._stored(event, now, published, impressions) for event in meant if isinstance(event, EventIn)
        ]
        done = await self._append(events) if events else []
        if events:
            self._metrics.stored(time.perf_counter() - arrived)
            self._metrics.quality.happened(events, done)
        outcomes = zip(events, done, strict=True)
        answers = [
            _accepted(event, *next(outcomes)) if isinstance(event, EventIn) else _rejected(one, event)
            for one, event in zip(said, meant, strict=True)
        ]
        self._metrics.told(answers)
        return answers

    async def _append(self, events: Sequence[LiveEvent]) -> list[Outcome]:
        if self._sender is None:
            return await self._live.append(events)
        self._sender.require_room()
        done = await self._live.append(events)
        await self._sender.settled()
        return done

    async def _stored(self, event: EventIn, now: float, published: Published, impressions: Impressions) -> LiveEvent:
        tags = published.items.tags(event.item_id) if event.item_id else words(event.query)
        user = published.name(event.who())
        page = await self._proved(event, user, impressions)
        if event.token and page is None:  # It is known by its page that nothing proves it.
            event = event.model_copy(update={"impression_id": event.impression_id or UNPROVED})
        return live_event(event, user, now, tags, page)

    async def _proved(self, event: EventIn, user: str, impressions: Impressions) -> str | None:
        """The page that an event happened on: by its token or, without one, by its id, if it was served to them.

        It must have the event's item and place.
        """
        shown = impressions.read(event.token, user) if event.token else Shown(event.impression_id, False)
        if shown is None or not shown.impression_id:
            return None
        # A guest's page became theirs when they logged in: the store knows.
        is_theirs = shown.is_theirs or await self._live.scrolled(shown.impression_id, user)
        if not is_theirs or not await self._shown.has(shown.impression_id, event.item_id, event.position):
            return None
        return shown.impression_id

    def _within_rates(self, meant: list[EventIn | Rejected]) -> list[EventIn | Rejected]:
        """Without the events of users who send too much: they must not stop others who are in the same call."""
        clock, counts = time.monotonic(), Counter(one.who() for one in meant if isinstance(one, EventIn))
        waits = {user: self._rate.wait(user, count, clock) for user, count in counts.items()}
        late = {user: seconds for user, seconds in waits.items() if seconds}
        if late and len(late) == len(counts):
            self._metrics.refused("events")
            raise TooMuch("too many events of one user", max(late.values()))
        return (
            [
                Rejected(field=_whose(one), reason=f"too many events: come back in {late[one.who()]:.0f} s")
                if isinstance(one, EventIn) and one.who() in late
                else one
                for one in meant
            ]
            if late
            else meant
        )


def explain(said: Sequence[Any], read: Read) -> list[EventAnswer]:
    """What `Intake.take` would say of events, without storing any."""
    now = time.time()
    return [
        EventAnswer(event_id=found.event_id, status="valid") if isinstance(found, EventIn) else _rejected(one, found)
        for one in said
        for found in (read(one, now),)
    ]


def _whose(event: EventIn) -> str:
    return "session_id" if event.user_id is None else "user_id"


def _accepted(event: EventIn, stored: LiveEvent, outcome: Outcome) -> EventAnswer:
    return EventAnswer(
        event_id=event.event_id,
        status="accepted" if outcome.accepted else "duplicate",
        version=outcome.version,
        attributed=stored.attributed if event.token or stored.attributed else None,
    )


def _rejected(said: Any, fault: Rejected) -> EventAnswer:
    event_id = said.get("event_id", said.get("messageId")) if isinstance(said, dict) else None
    named = event_id[:128].encode("utf-8", "replace").decode() if isinstance(event_id, str) else None
    return EventAnswer(event_id=named, status="rejected", field=fault.field, reason=fault.reason)
