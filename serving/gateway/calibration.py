"""Whether readers go on acting as often as models predict: an alarm when predicted and observed rates part.

What a model calls a probability is that of its training data, whose base rate is not that of cards on a page. So the
rate of actions by predicted ones of a version's first readers is taken for its own, and later ones are held to it by
intervals that may be looked at at any time. A version that is new, or a process that starts, begins anew.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from homefeed.models.sequential.confidence import ALPHA, half_width
from homefeed.models.sequential.ratios import Sums, effect
from homefeed.serving.experiments.metrics import Fact
from homefeed.serving.experiments.monitor import Crowd, Party

Outcome = Literal["acted", "liked"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
FIRST_READERS = 1_000  # Whose rates are a version's own.
PLANNED = 10_000  # Readers for whom the interval is narrowest.
MAX_VERSIONS = 4
_WIDTH = 1 + len(OUTCOMES)  # Predicted, then observed.


class Parted(NamedTuple):
    """Actions by predicted ones, of a version.

    Attributes:
        model_version: of the lists.
        outcome: what was done.
        before, now: of the first readers, and of all after them.
        is_parted: whether the two differ for sure; once they did, they go on doing so.
    """

    model_version: str
    outcome: Outcome
    before: float
    now: float
    is_parted: bool

    def __str__(self) -> str:
        name = "clicks" if self.outcome == "acted" else "likes"
        return (
            f"{name} on lists of version {self.model_version} are {self.now:.3g} times those predicted, and were "
            f"{self.before:.3g} times at first"
        )


class _Version:
    def __init__(self) -> None:
        self.first, self.later = Crowd(_WIDTH), Crowd(_WIDTH)
        self.parted = set[Outcome]()

    def crowd(self) -> Crowd:
        return self.later if len(self.first.rows) >= FIRST_READERS else self.first


class Calibration:
    """Follows what becomes of cards whose probability was told."""

    def __init__(self) -> None:
        self._versions: collections.OrderedDict[str, _Version] = collections.OrderedDict()

    def happened(self, party: Party, item_id: str, facts: Sequence[Fact]) -> None:
        """Something became known of a card."""
        chance = party.chances.get(item_id)
        if chance is None or not facts:
            return
        version = self._versions.setdefault(party.model_version, _Version())
        if len(self._versions) > MAX_VERSIONS:
            self._versions.popitem(last=False)
        row = version.crowd().row(party.user)
        if row is not None:
            row += [chance * ("seen" in facts), *(float(outcome in facts) for outcome in OUTCOMES)]

    def forget(self, user: str) -> None:
        """Who a user is; what they did stays counted."""
        for version in self._versions.values():
            version.first.forget(user)
            version.later.forget(user)

    def look(self) -> list[Parted]:
        """How each version stands; nothing of those whose first readers are still coming."""
        return [
            self._stands(name, version, outcome)
            for name, version in self._versions.items()
            if len(version.later.rows)
            for outcome in OUTCOMES
        ]

    def _stands(self, name: str, version: _Version, outcome: Outcome) -> Parted:
        columns = [1 + OUTCOMES.index(outcome), 0]
        first, later = (Sums.of(np.take(crowd.rows, columns, axis=1)) for crowd in (version.first, version.later))
        found = effect(first, later)
        # The first readers' own error counts as well, and half of ALPHA is each outcome's.
        width = half_width(found.variance, later.count, PLANNED, ALPHA / len(OUTCOMES))
        if found.variance and abs(found.difference) > width:
            version.parted.add(outcome)
        return Parted(name, outcome, found.control, found.treatment, outcome in version.parted)
