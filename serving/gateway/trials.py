"""Experiments as a gateway runs them: who gets which arm, what becomes of it, and when one has to stop."""

from __future__ import annotations

import dataclasses
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from homefeed.models.sequential.drafting import team_draft
from homefeed.serving.audit import AuditError, Trail, aside
from homefeed.serving.experiments.assignment import NOTHING, Assigned, Unit, assign
from homefeed.serving.experiments.design import Experiments
from homefeed.serving.experiments.metrics import of_page, variety
from homefeed.serving.experiments.monitor import Monitor, Party
from homefeed.serving.gateway import page as pages
from homefeed.serving.gateway.calibration import Calibration
from homefeed.serving.gateway.clicks import Clicks
from homefeed.serving.gateway.items import Items
from homefeed.serving.gateway.labels import Labels
from homefeed.serving.gateway.ladder import Listing, Question
from homefeed.serving.gateway.making import Made
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.schema import Ask
from homefeed.serving.policy.ruling import InForce
from homefeed.serving.profiles import Stop, Store
from homefeed.serving.recommender import FUSED

_logger = logging.getLogger(__name__)
DRAFTED_ROWS = ("for_you", "search", "more")
RETURN_SECONDS = 600  # A guest who comes back so long after their first page is taken for one.
MAX_GUESTS = 100_000  # Whose first page is remembered.


class Trials:
    """Assigns readers, and watches over guardrails and over what models predict.

    Args:
        store: where arms and stops are kept.
        metrics: where pages are counted.
        trail: the audit trail, where stops are told.

    Attributes:
        parted: where predicted and observed rates have parted, in words.
        clicks: how often cards are acted on.
    """

    def __init__(self, store: Store, metrics: Metrics, trail: Trail):
        self._store, self._metrics, self._trail = store, metrics, trail
        self._stopped: dict[str, str] = {}
        self._secret = b""
        self._monitor = Monitor()
        self._calibration = Calibration()
        self._first_pages: OrderedDict[str, float] = OrderedDict()  # Guest → time of their first page here.
        self.parted: list[str] = []
        self.clicks = Clicks()
        metrics.quality.listen(self.clicks.happened)
        metrics.quality.listen(self._monitor.happened)
        metrics.quality.listen(self._calibration.happened)

    async def assigned(self, experiments: Experiments, ask: Ask, user: str, now: float) -> Assigned:
        """The arms of a page.

        Args:
            experiments: in force.
            ask: who asks for what.
            user: what they are called inside.
            now: Unix seconds.
        """
        if not experiments.by_name:
            return NOTHING
        self._secret = self._secret or await self._store.secret()
        unit = Unit(ask.user_id or "", ask.session_id or "")
        stored = await self._store.assigned(user)
        return assign(experiments, unit, ask.surface, stored, self._stopped, now, self._secret)

    async def follow(self, experiments: Experiments, now: float) -> None:
        """Looks at what models predict, learns which experiments were stopped, and stops those that have to be.

        Raises:
            StoreError: the store is out of reach.
        """
        found = self._calibration.look()
        self._metrics.calibrated(found)
        self.parted = [str(one) for one in found if one.is_parted]
        if not experiments.by_name:
            return
        self._stopped = {stop.experiment: stop.arm for stop in await self._store.stops()}
        for stop in self._monitor.breaches(experiments, self._stopped, now):
            why = {"subject": stop.experiment, "arm": stop.arm, "reason": stop.reason}
            try:
                async with aside(self._trail.change("stop", "gateway", **why)):
                    await self._stop(stop)
            except AuditError as error:  # Harm goes on until it is stopped, whether that can be written or not.
                _logger.warning("%s; experiment %s is stopped all the same", error, stop.experiment)
                await self._stop(stop)

    async def _stop(self, stop: Stop) -> None:
        await self._store.stop(stop)
        self._stopped[stop.experiment] = stop.arm
        _logger.warning("experiment %s is stopped: %s", *stop[::2])

    def served(
        self,
        experiments: Experiments,
        assigned: Assigned,
        user: str,
        made: Made,
        page: Mapping[str, Any],
        has_history: bool,
    ) -> Party:
        """Counts a page as it is recorded; gives whose it is.

        Guardrails ask only whom nobody can make up at will: users with a history in the data or, where guests are the
        units, those who came back.
        """
        is_back = self._is_back(user)
        arms = {
            experiments.key(name): arm
            for name, arm in assigned.arms.items()
            if (is_back if experiments.get(name).unit == "session" else has_history)
        }
        cards = [card for row in made.rows for card in row.cards]
        chances = {card["item_id"]: card["probability"] for card in cards if card.get("probability") is not None}
        party = Party(user, arms, chances, str(page["model_version"] or ""))
        if arms:
            self._monitor.served(party, of_page(page["served_by"], page["took_ms"], page["variety"]))
        for name, arm in assigned.arms.items():
            self._metrics.arm_served(name, arm)
        return party

    def _is_back(self, user: str) -> bool:
        now = time.monotonic()
        first = self._first_pages.setdefault(user, now)
        if len(self._first_pages) > MAX_GUESTS:
            self._first_pages.popitem(last=False)
        return now - first >= RETURN_SECONDS

    def forget(self, user: str) -> None:
        """Drops who a user is."""
        self._first_pages.pop(user, None)
        self._monitor.forget(user)
        self._calibration.forget(user)
        self.clicks.forget(user)


def recorded(
    experiments: Experiments,
    assigned: Assigned,
    made: Made,
    teams: Mapping[str, str],
    items: Items,
    seconds: float,
) -> dict[str, Any]:
    """What is kept of a page for its experiments.

    Args:
        experiments: in force.
        assigned: of the page.
        made: the page.
        teams: item → label of the models that chose it, of an interleaved list.
        items: the catalogue.
        seconds: that it took to make it.
    """
    cards = [card["item_id"] for row in made.rows for card in row.cards]
    found: dict[str, Any] = {"arms": dict(assigned.arms), "took_ms": round(seconds * 1000, 2)}
    if assigned.arms:
        found["versions"] = {name: experiments.get(name).version for name in assigned.arms}
        found["variety"] = round(variety(items.tags(item_id)[:1] for item_id in cards), 4)
    if assigned.changes:
        found["changes"] = {name: _plain(value) for name, value in assigned.changes.items()}
    if teams:
        drafted = [card["item_id"] for row in made.rows if row.id in DRAFTED_ROWS for card in row.cards]
        found["teams"] = {item_id: teams[item_id] for item_id in drafted if item_id in teams}
    return found


def asked(question: Question, assigned: Assigned, models: Labels | None) -> list[Question]:
    """The questions of a page, one or two, each to the models of one label.

    Args:
        question: without label and arms.
        assigned: of the page.
        models: of the server; None: there is none.
    """
    arms = tuple(assigned.arms.items())
    return [
        dataclasses.replace(
            question, model_version=models.of(label).version if models else None, label=label, arms=arms
        )
        for label in assigned.interleave or (assigned.label,)
    ]


def may_show(excluded: Container[str], items: Items, rules: InForce, now: float, item_id: str) -> bool:
    """Whether an item can be on a page."""
    return item_id not in excluded and items.is_available(item_id, now) and rules.admits(item_id)


def together(listings: Sequence[Listing], may_show: Callable[[str], bool]) -> tuple[Listing, dict[str, str]]:
    """One list of two that take turns, and item → label of the models that chose it.

    Lists of lower rungs do not take turns: nobody's order would be told by them.

    Args:
        listings: two.
        may_show: whether an item can be on the page: a turn that chooses another one would be lost.
    """
    if any(listing.served_by != FUSED for listing in listings):
        return listings[0], {}
    lists = [list(filter(may_show, (place.item_id for place in listing.places))) for listing in listings]
    labels = [listing.question.label for listing in listings]
    drafted = team_draft(lists, lambda: random.getrandbits(1), max(map(len, lists)))
    places = list(pages.places(item_id for item_id, _ in drafted))
    return dataclasses.replace(listings[0], places=places), {item_id: labels[team] for item_id, team in drafted}


def _plain(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else value
