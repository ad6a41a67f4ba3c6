"""Now: which rungs answer and how fast, how often cards are acted on, and what is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from homefeed.serving.console import drawing
from homefeed.serving.console.desk import Asked, Desk, Facts
from homefeed.serving.gateway.ladder import RUNGS

PAGES = "homefeed_page_seconds"


class Rung(NamedTuple):
    """Pages that one rung answered, since the process started.

    Attributes:
        name: of the rung.
        pages: how many.
        share: of all pages.
        p50_ms, p99_ms: time to make one, within the width of a bucket; None: no page.
    """

    name: str
    pages: int
    share: float
    p50_ms: float | None
    p99_ms: float | None


async def now(desk: Desk, asked: Asked) -> Facts:
    """Facts of the page."""
    home, known = desk.home, desk.home.known
    rungs, clicks = rungs_of(desk), known.trials.clicks.rate()
    policy = known.policies.policy
    return {
        "rungs": rungs,
        "shares": drawing.shares([(rung.name, rung.share) for rung in rungs]),
        "clicks": clicks,
        "interval": drawing.interval(clicks),
        "faults": [text for text in (known.policies.fault, *known.trials.parted) if text],
        "items": len(known.published.items.cards),
        "models": known.models.stable if known.models else None,
        "lag_ms": max(0.0, home.pulse.lag_seconds) * 1000,
        "versions": policy.versions,
    }


def rungs_of(desk: Desk) -> list[Rung]:
    """What each rung answered, the highest first."""
    counts: dict[str, list[tuple[float, int]]] = {name: [] for name in RUNGS}
    for family in desk.metrics.registry.collect():
        if family.name == PAGES:
            for sample in family.samples:
                if sample.name == f"{PAGES}_bucket":
                    counts[sample.labels["served_by"]].append((float(sample.labels["le"]), int(sample.value)))
    total = sum(buckets[-1][1] for buckets in counts.values() if buckets)
    return [_rung(name, buckets, total) for name, buckets in counts.items()]


def _rung(name: str, buckets: Sequence[tuple[float, int]], total: int) -> Rung:
    pages = buckets[-1][1] if buckets else 0
    if not pages:
        return Rung(name, 0, 0.0, None, None)
    return Rung(name, pages, pages / total, quantile(buckets, 0.5) * 1000, quantile(buckets, 0.99) * 1000)


def quantile(buckets: Sequence[tuple[float, int]], share: float) -> float:
    """A quantile from a histogram, between the edges of its bucket in proportion; beyond the last edge, that edge.

    Args:
        buckets: (upper edge, how many are not above it), as Prometheus counts; the last edge is infinite.
        share: of the values that are below it, 0 to 1.

    >>> quantile([(1.0, 2), (3.0, 6), (float("inf"), 6)], 0.5)
    1.5
    """
    wanted = share * buckets[-1][1]
    for (low, before), (high, count) in itertools.pairwise([(0.0, 0), *buckets]):
        if count >= wanted and count > before:
            return low if high == float("inf") else low + (high - low) * (wanted - before) / (count - before)
    return buckets[-1][0]
