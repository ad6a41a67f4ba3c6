"""Which rung answers: the fused model, retrieval alone, the last list, what is popular, or the editors' choice."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import time
from collections.abc import Sequence
from typing import Any

from homefeed.serving.gateway import page as pages
from homefeed.serving.gateway.items import Items
from homefeed.serving.gateway.labels import Labels
from homefeed.serving.gateway.making import asked
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.models import Unavailable
from homefeed.serving.gateway.pulse import Pulse
from homefeed.serving.recommender import FUSED, RETRIEVAL
from homefeed.serving.releases.server_config import STABLE

LAST_PAGE, POPULAR, EDITORS = "last_page", "popular", "editors"
RUNGS = (FUSED, RETRIEVAL, LAST_PAGE, POPULAR, EDITORS)

MAX_RANKED = 300  # Longer lists come from retrieval alone.
MAX_FOUND = 1_000  # The longest list that a model is asked for; who scrolls further gets what is popular.
MAX_KEPT = 5_000  # Last lists of users that are remembered.
FRESH_SECONDS = 10.0  # So long the same question gets the same list.
KEPT_SECONDS = 3_600.0  # Longer ago, what is popular near a taste now is better.
MAX_LAG_SECONDS = 0.1  # Of the event loop: later, pages are made without models, which costs a third.
FUSED_SHARE = 2 / 3  # Of the time for models; the rest is left to the quicker retrieval.


@dataclasses.dataclass(frozen=True)
class Question:
    """What a list depends on: with equal questions, a list may be shown again.

    Attributes:
        user: what the user or guest is called inside.
        profile_version: of the live profile, so that no list outlives an event.
        catalogue: which push the profiles and items are of.
        model_version: of the models that are asked, as far as is known.
        query: what is searched for.
        objective: what it is sorted for; "": the model's own.
        label: of the models.
        arms: of experiments.
    """

    user: str
    profile_version: int
    catalogue: tuple[Any, ...]
    model_version: int | None
    query: str
    objective: str = ""
    label: str = STABLE
    arms: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Listing:
    """A list for a user.

    Attributes:
        places: best first.
        source: what it was made from.
        served_by: the rung.
        model_version: of the model that made it.
        question: what it answers.
        made_at: Unix seconds.
        objective: what it is sorted for; "": the model's own, or no model made it.
        asked: digest of what the model was told (`making.asked`); "": it was made by none.
        found_by: the rung that made it, where it is shown again; else as `served_by`.
    """

    places: Sequence[pages.Place]
    source: str
    served_by: str
    model_version: int | None
    question: Question
    made_at: float
    objective: str = ""
    asked: str = ""
    found_by: str = ""


class Ladder:
    """Finds lists on the highest rung that can answer in time.

    Args:
        models: of the model server; None: there is none.
        budget_seconds: how long models may take for a list, all tries together.
        pulse: how late the event loop is.
        metrics: where calls are counted.
    """

    def __init__(self, models: Labels | None, budget_seconds: float, pulse: Pulse, metrics: Metrics):
        self._models, self._budget_seconds = models, budget_seconds
        self._pulse, self._metrics = pulse, metrics
        self._kept: collections.OrderedDict[tuple[str, str], Listing] = collections.OrderedDict()

    async def find(self, question: Question, reader: pages.Reader, items: Items, wanted: int) -> Listing:
        """A list of about `wanted` places; the rungs below the models may give more or fewer."""
        last = self._kept.get((question.user, question.label))
        if last and _is_fresh(last, question, wanted):
            return last
        if question.query and not reader.request.query_token_ids:  # Models read no text without their vocabulary.
            return _without_models(question, reader, items, wanted)
        for model in self._model_rungs(wanted):
            with contextlib.suppress(Unavailable):
                return self._keep(await self._ask(model, question, reader, wanted))
        if last and _may_return(last, question):
            return dataclasses.replace(last, served_by=LAST_PAGE, found_by=last.served_by)
        return _without_models(question, reader, items, wanted)

    async def similar(self, item_id: str, k: int) -> list[str]:
        """Items that are like one, best first; empty where no model says."""
        if self._models is None or self._pulse.lag_seconds > MAX_LAG_SECONDS:
            return []
        try:
            return await self._models.stable.similar(item_id, k, self._budget_seconds * (1 - FUSED_SHARE))
        except Unavailable:
            return []

    def forget(self, user: str) -> None:
        """Drops what is remembered of a user."""
        for key in [key for key in self._kept if key[0] == user]:
            del self._kept[key]

    def _model_rungs(self, wanted: int) -> tuple[str, ...]:
        if self._models is None or wanted > MAX_FOUND or self._pulse.lag_seconds > MAX_LAG_SECONDS:
            return ()
        return (FUSED, RETRIEVAL) if wanted <= MAX_RANKED else (RETRIEVAL,)

    async def _ask(self, model: str, question: Question, reader: pages.Reader, wanted: int) -> Listing:
        assert self._models is not None
        share = FUSED_SHARE if model == FUSED else 1 - FUSED_SHARE
        with self._metrics.asking(model):
            models = self._models.of(question.label)
            found = await models.find(model, reader.request, wanted, self._budget_seconds * share)
        told, now = asked(reader.request), time.time()
        return Listing(
            found.places, found.source, model, found.model_version, question, now, found.objective, told, model
        )

    def _keep(self, listing: Listing) -> Listing:
        key = (listing.question.user, listing.question.label)
        self._kept[key] = listing
        self._kept.move_to_end(key)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return listing


def _is_fresh(last: Listing, question: Question, wanted: int) -> bool:
    return last.question == question and time.time() - last.made_at < FRESH_SECONDS and len(last.places) >= wanted


def _may_return(last: Listing, question: Question) -> bool:
    """Whether an earlier list is still an answer. Versions grow, unless somebody was forgotten."""
    return (
        last.question.query == question.query
        and last.question.profile_version <= question.profile_version
        and time.time() - last.made_at < KEPT_SECONDS
    )


def _without_models(question: Question, reader: pages.Reader, items: Items, wanted: int) -> Listing:
    """What is popular near the reader's taste, or with the words of a search; else the editors' choice."""
    rung = POPULAR if items.has_popularity else EDITORS
    places = pages.popular(items, reader.taste) if items.has_popularity else pages.places(items.picks)
    if question.query:
        places = pages.places(items.search(question.query))
    unseen = (place for place in places if place.item_id not in reader.excluded)
    return Listing(list(itertools.islice(unseen, wanted)), rung, rung, None, question, time.time())
