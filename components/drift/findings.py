"""What a comparison finds: one distance of one column, with what chance would make and what is borne."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Literal

USER_ID = "interactions.user_id"  # Whose values name people, and so stay out of reports.
Measure = Literal[
    "l_infinity",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "missing_rate",
    "unseen_share",
    "changed_share",
    "events_per_user",
]
LARGEST = 1.0  # That any of these can be.


@dataclasses.dataclass(frozen=True)
class Finding:
    """One distance of one column."""

    feature: str  # `table.column`
    measure: Measure
    value: float
    chance: float  # What it would be about without any drift.
    threshold: float
    detail: str  # Where the change is greatest, for people.

    @property
    def drifted(self) -> bool:
        """Whether it is drift. A value that is not a number is, never a pass."""
        return not self.value <= self.threshold

    @property
    def can_fire(self) -> bool:
        """Whether any change could be drift: of very few values, chance makes what there is."""
        return self.threshold < LARGEST

    @property
    def verdict(self) -> str:
        """For people."""
        return "DRIFT" if self.drifted else "quiet" if self.can_fire else "too few values"


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Those that drifted before those that did not, each by name."""
    return sorted(findings, key=lambda found: (not found.drifted, found.feature, found.measure))
