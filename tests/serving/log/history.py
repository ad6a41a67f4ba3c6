"""What people do at one gateway, by a clock of its own: they look, act, log in, are forgotten, and send again."""

from __future__ import annotations

import random

import pytest

from homefeed.serving.profiles import LiveStore, outbox_table
from homefeed.serving.profiles.outbox import Entry
from tests.serving.feedback import shop

KINDS = ("impression", "click", "purchase", "like", "hide", "undo", "search")
USERS = [f"u{number}" for number in range(5)]
GUESTS = [f"guest:{number}" for number in range(4)]
STEP_SECONDS = 700  # Pages of the last steps are too young for a span.


class History:
    """Writes a store with an outbox.

    Attributes:
        now: Unix seconds.
        log: all that was in the outbox, in order.
        acknowledged: ids of the events that were accepted.
    """

    def __init__(self, store: LiveStore, seed: int, monkeypatch: pytest.MonkeyPatch):
        self.now, self.log, self.acknowledged = shop.NOW, list[Entry](), set[str]()
        self._store, self._draw, self._number = store, random.Random(seed), 0
        monkeypatch.setattr("time.time_ns", lambda: self.now * 10**9)

    def go_on(self, steps: int) -> None:
        """Some more steps; what was in the outbox is in `log` then."""
        for _ in range(steps):
            self.now += STEP_SECONDS
            self._number += 1
            self._step()
        while entries := self._store.look(outbox_table.read_waiting):
            self.log += entries
            self._store.sent(entries[-1].mark).result()

    def _step(self) -> None:
        draw, what = self._draw, self._draw.random()
        if what < 0.08:
            self._store.merge(draw.choice(GUESTS), draw.choice(USERS)).result()
        elif what < 0.1:
            self._store.forget(draw.choice(USERS)).result()
        else:
            self._look_and_act(draw.choice([*USERS, *GUESTS]))

    def _look_and_act(self, user: str) -> None:
        draw, page = self._draw, f"page-{self._number}"
        items = [f"i{draw.randrange(20)}" for _ in range(3)]
        self._store.record(shop.exposure(page, user, self.now, *items)).result()
        names = [f"{self._number}-{place}" for place in range(draw.randrange(4))]
        names += [f"{draw.randrange(self._number)}-0"]  # Perhaps it was there before, and perhaps somebody else's.
        kinds = [draw.choice(KINDS) for _ in names]
        events = [
            shop.event(name, user, kind, "" if kind == "search" else draw.choice(items), self.now, page)
            for name, kind in zip(names, kinds, strict=True)
        ]
        outcomes = self._store.append(events).result()
        self.acknowledged |= {event.event_id for event, one in zip(events, outcomes, strict=True) if one.accepted}


def sent_twice(entries: list[Entry], draw: random.Random) -> list[Entry]:
    """As two senders leave it that both thought that it was their turn: each in order, from the oldest that waits.

    The second begins somewhere in the middle, where the first one's are confirmed up to there, and may overtake it.
    """
    begin = draw.randrange(len(entries))
    merged, first, second = entries[:begin], entries[begin:], entries[begin:]
    while first or second:
        turn = first if first and (not second or draw.random() < 0.5) else second
        merged.append(turn.pop(0))
    return merged
