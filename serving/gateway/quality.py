"""How good pages are while they are served: what becomes of their cards, by row, surface, model version and group."""

from __future__ import annotations

import dataclasses
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import prometheus_client as prometheus

from homefeed.serving.experiments.groups import Groups, named
from homefeed.serving.experiments.metrics import Fact, facts_of
from homefeed.serving.experiments.monitor import Party
from homefeed.serving.profiles import LiveEvent, Outcome

MAX_PAGES = 4_096  # That are remembered; what comes of a page of before, or of another gateway, is not counted here.
SERVED = "served"

Listener = Callable[[Party, str, Sequence[Fact]], None]


@dataclasses.dataclass(frozen=True)
class _Page:
    surface: str
    model_version: str
    rows: Mapping[str, str]  # Item → row.
    groups: Mapping[str, Groups]  # Item → its groups.
    party: Party | None
    told: set[tuple[str, str]] = dataclasses.field(default_factory=set)  # Item and fact: each counts once.


class Quality:
    """Counts cards that were served, seen and acted on: each card once for each fact, whoever repeats what.

    Args:
        registry: where the counters are.
    """

    def __init__(self, registry: prometheus.CollectorRegistry):
        self._cards = prometheus.Counter(
            "homefeed_cards",
            "Cards by what became of them; the click rate is acted by seen.",
            ["fact", "row", "surface", "model_version"],
            registry=registry,
        )
        # Not labels of the counter above: each of them would multiply its series.
        self._in_groups = prometheus.Counter(
            "homefeed_group_cards",
            "Cards by what became of them, in groups by reader, by age of the item and by its language.",
            ["fact", "by", "group", "model_version"],
            registry=registry,
        )
        self._pages: OrderedDict[str, _Page] = OrderedDict()
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Tells somebody what becomes of the cards of whom."""
        self._listeners.append(listener)

    def served(self, page: Mapping[str, Any], groups: Mapping[str, Groups], party: Party | None = None) -> None:
        """A page was made, as it is recorded; where it is known whose it is, listeners are told.

        Args:
            page: as it is recorded.
            groups: item → its groups.
            party: whose page it is.
        """
        rows = {item: row["id"] for row in page["rows"] for item in row["items"]}
        made = _Page(page["surface"], str(page["model_version"] or ""), rows, groups, party)
        self._pages[page["impression_id"]] = made
        if len(self._pages) > MAX_PAGES:
            self._pages.popitem(last=False)
        for row in page["rows"]:
            self._cards.labels(SERVED, row["id"], made.surface, made.model_version).inc(len(row["items"]))
        for of_cards, count in Counter(groups[item] for item in rows).items():
            self._count_in_groups(SERVED, of_cards, made.model_version, count)

    def happened(self, events: Iterable[LiveEvent], outcomes: Iterable[Outcome]) -> None:
        """Events were stored."""
        for event, outcome in zip(events, outcomes, strict=True):
            page = self._pages.get(event.impression_id) if event.attributed and outcome.accepted else None
            if page and (row := page.rows.get(event.item_id)):
                facts = [fact for fact in facts_of(event.type) if (event.item_id, fact) not in page.told]
                for fact in facts:
                    page.told.add((event.item_id, fact))
                    self._cards.labels(fact, row, page.surface, page.model_version).inc()
                    self._count_in_groups(fact, page.groups[event.item_id], page.model_version)
                if page.party:
                    for tell in self._listeners:
                        tell(page.party, event.item_id, facts)

    def _count_in_groups(self, fact: str, groups: Groups, model_version: str, count: int = 1) -> None:
        for by, group in named(groups):
            self._in_groups.labels(fact, by, group, model_version).inc(count)
