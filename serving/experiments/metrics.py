"""What arms are compared by: ratios of what users did and of what they were given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from homefeed.serving.profiles.live import COMMANDS, HIDING, IMPRESSION
from homefeed.serving.recommender import FUSED, RETRIEVAL

Fact = Literal["seen", "acted", "liked", "hidden", "bought"]
Tallies = npt.NDArray[np.float64]
"""[len(TALLIES)] what was counted of one user."""
TALLIES = ("users", "pages", "errors", "milliseconds", "variety", "seen", "acted", "liked", "hidden", "bought")
MetricName = Literal["click_rate", "like_rate", "hide_rate", "conversion", "errors", "latency", "diversity"]
_PURCHASES = ("purchase", "buy")
_AT = {name: place for place, name in enumerate(TALLIES)}


class Metric(NamedTuple):
    """One ratio.

    Attributes:
        numerator, denominator: of TALLIES.
        sign: 1: more is better; -1: less is.
        words: what it is called in a sentence.
    """

    numerator: str
    denominator: str
    sign: int
    words: str

    def columns(self, rows: Tallies) -> Tallies:
        """[..., 2] numerator and denominator of users.

        Args:
            rows: [..., len(TALLIES)].
        """
        return rows[..., [_AT[self.numerator], _AT[self.denominator]]]


METRICS: Mapping[MetricName, Metric] = {
    "click_rate": Metric("acted", "seen", 1, "click rate"),
    "like_rate": Metric("liked", "seen", 1, "like rate"),
    "hide_rate": Metric("hidden", "seen", -1, "rate of hiding"),
    "conversion": Metric("bought", "users", 1, "share of buyers"),
    "errors": Metric("errors", "pages", -1, "share of pages without models"),
    "latency": Metric("milliseconds", "pages", -1, "time of a page in ms"),
    "diversity": Metric("variety", "pages", 1, "variety of categories"),
}


def facts_of(event_type: str, has_item: bool = True) -> Iterator[Fact]:
    """What an event says of its card; what was acted on was seen, and to send it away is no click."""
    is_action = has_item and event_type not in (*COMMANDS, IMPRESSION, "search")
    if event_type == IMPRESSION or is_action:
        yield "seen"
    if event_type in HIDING:
        yield "hidden"
    elif is_action:
        yield "acted"
    if event_type == "like":
        yield "liked"
    if event_type in _PURCHASES:
        yield "bought"


def of_page(served_by: str, milliseconds: float, variety: float) -> Tallies:
    """What one page adds to its user's tallies."""
    row = np.zeros(len(TALLIES))
    is_without_models = served_by not in (FUSED, RETRIEVAL)
    row[[_AT[name] for name in ("pages", "errors", "milliseconds", "variety")]] = (
        1.0,
        is_without_models,
        milliseconds,
        variety,
    )
    return row


def count(row: Tallies, facts: Iterable[Fact]) -> None:
    """Adds what was newly found out of one card to its user's tallies; a user has bought, or has not."""
    row[_AT["users"]] = 1.0
    for fact in facts:
        row[_AT[fact]] = 1.0 if fact == "bought" else row[_AT[fact]] + 1.0


def variety(categories: Iterable[Any]) -> float:
    """Different categories by cards, 0 to 1; 0 of no cards.

    >>> variety(["drama", "drama", "comedy", None])
    0.75
    """
    found = list(categories)
    return len(set(found)) / len(found) if found else 0.0
