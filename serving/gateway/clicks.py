"""How often cards that were seen are acted on, while pages are served: a rate with an interval that may be looked at.

Cards of one user are alike, so users are counted, as in experiments; see `models.sequential`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from homefeed.models.sequential.confidence import half_width
from homefeed.models.sequential.ratios import Sums
from homefeed.serving.experiments.metrics import Fact
from homefeed.serving.experiments.monitor import Crowd, Party

PLANNED = 10_000  # Readers for whom the interval is narrowest.
_FACTS: tuple[Fact, ...] = ("acted", "seen")


class Rate(NamedTuple):
    """Cards acted on by cards seen, since the process started.

    Attributes:
        value: of all readers together.
        low, high: the 95% interval, which holds at all times together; None: too few readers.
        readers: who saw anything.
    """

    value: float
    low: float | None
    high: float | None
    readers: int


class Clicks:
    """Counts by reader."""

    def __init__(self) -> None:
        self._crowd = Crowd(len(_FACTS))

    def happened(self, party: Party, item_id: str, facts: Sequence[Fact]) -> None:
        """Something became known of a card."""
        row = self._crowd.row(party.user) if facts else None
        if row is not None:
            row += [fact in facts for fact in _FACTS]

    def forget(self, user: str) -> None:
        """Who a user is; what they did stays counted."""
        self._crowd.forget(user)

    def rate(self) -> Rate:
        """The rate as it is now."""
        sums = Sums.of(self._crowd.rows)
        width = half_width(sums.variances()[0] / max(sums.count, 1), sums.count, PLANNED)
        if math.isinf(width):
            return Rate(sums.ratio, None, None, sums.count)
        return Rate(sums.ratio, max(0.0, sums.ratio - width), min(1.0, sums.ratio + width), sums.count)
