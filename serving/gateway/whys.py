"""Why a card was on a page: the inputs of the page as they are recorded, and lists without a part of them."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from homefeed.models.faithfulness.removal import (
    Part,
    Scores,
    drops,
    lead,
    parts_of,
    rivals_of,
    strengths,
    trials_of,
    without,
)
from homefeed.serving.gateway.items import Items, searched
from homefeed.serving.gateway.ladder import MAX_LAG_SECONDS, MAX_RANKED
from homefeed.serving.gateway.limits import TooMuch
from homefeed.serving.gateway.making import Draft, Vectors, asked, make
from homefeed.serving.gateway.models import SIGNATURES, Found, Models, Unavailable
from homefeed.serving.gateway.policies import Policy
from homefeed.serving.gateway.published import Published
from homefeed.serving.gateway.pulse import Pulse
from homefeed.serving.gateway.replay import draft_of, on_surface, surface_of
from homefeed.serving.profiles import Exposure, Store
from homefeed.serving.queries import Tokenize
from homefeed.serving.web.texts import LANGUAGES
from homefeed.serving.why.evidence import Evidence, reasons_of
from homefeed.serving.why.words import counterfactual, sentence

MAX_SECONDS = 1.0  # For all calls of a model.
PAGES_OF_A_WHY = 5  # So many pages cost as much as a card's reasons.
MAX_AT_ONCE = 2  # The models are there for pages first.
NUM_POPULAR = 100  # Further down, nobody would call an item popular.
FEWEST_PLACES = 100

Displacing = tuple[Sequence[Part], Sequence[str]]
"""Events without which a card is not in its row, and the items of the row then."""


@dataclasses.dataclass(frozen=True)
class Card:
    """A card of a page that was served.

    Attributes:
        page: as it is recorded.
        row: its row, as it is recorded.
        place: in the row, from 0.
        draft: what the page was made of.
    """

    page: Mapping[str, Any]
    row: Mapping[str, Any]
    place: int
    draft: Draft

    @property
    def item_id(self) -> str:
        """The item that it shows."""
        return str(self.row["items"][self.place])

    @property
    def found_by(self) -> str:
        """Where it comes from."""
        return str(self.row["found_by"][self.place])

    @property
    def is_as_recorded(self) -> bool:
        """Whether the models would be told what they were told then."""
        return bool(self.page.get("asked") == asked(self.draft.reader.request))


@dataclasses.dataclass(frozen=True)
class Tried:
    """What models said of a card.

    Attributes:
        effects: part of the request → lead that is lost without it.
        strengths: event → what it does, as `removal.strengths` has it.
        items: events without which the card would not be in its row; none were found: empty.
        instead: the first card of the row then that is not there now.
        model_version: that answered.
    """

    effects: Mapping[Part, float]
    strengths: Mapping[Part, float] = dataclasses.field(default_factory=dict)
    items: Sequence[str] = ()
    instead: str = ""
    model_version: int | None = None


class Whys:
    """Tells why cards were shown.

    Args:
        live: where pages and events are.
        models: the model server; None: there is none.
        pulse: how late the event loop is.
    """

    def __init__(self, live: Store, models: Models | None, pulse: Pulse):
        self._live, self._models, self._pulse = live, models, pulse
        self._under_way = 0

    async def why(
        self,
        exposure: Exposure,
        item_id: str,
        published: Published,
        vectors: Vectors,
        policy: Policy,
        tokenize: Tokenize | None,
    ) -> dict[str, Any]:
        """The reasons of a card, as docs/why.md has them.

        Args:
            exposure: the page.
            item_id: of the card.
            published: profiles and catalogue.
            vectors: item ids → [num_items, width], for diversity.
            policy: rules and surfaces in force.
            tokenize: text → token ids; None: no model reads text.

        Raises:
            LookupError: the page has no such card, or what it was made of is no longer there.
            TooMuch: there is no room beside the pages.
        """
        if self._under_way >= MAX_AT_ONCE or self._pulse.lag_seconds > MAX_LAG_SECONDS:
            raise TooMuch("more reasons are asked for than can be told beside the pages", 1)
        self._under_way += 1
        try:
            card = await self._card(exposure, item_id, published, policy, tokenize)
            tried = await self._try(card, published.items, vectors, policy)
        finally:
            self._under_way -= 1
        evidence = evidence_of(card, published.items, policy, tried)
        return _told(card, tried, evidence, published.items)

    async def _card(
        self, exposure: Exposure, item_id: str, published: Published, policy: Policy, tokenize: Tokenize | None
    ) -> Card:
        page = orjson.loads(exposure.page)
        rows = [row for row in page["rows"] if item_id in row["items"]]
        if not rows:
            raise LookupError("item_id: it was not on this page")
        draft = await draft_again(self._live, exposure, published, policy, tokenize)
        return Card(page, rows[0], rows[0]["items"].index(item_id), draft)

    async def _try(self, card: Card, items: Items, vectors: Vectors, policy: Policy) -> Tried | None:
        """Lists without parts of the request; None: no model made this card, or none answers."""
        if self._models is None or card.found_by not in SIGNATURES or not card.is_as_recorded:
            return None
        trial = _Trial(self._models, card, items, vectors, policy)
        try:
            return await trial.run()
        except Unavailable:
            return trial.found


async def draft_again(
    live: Store, exposure: Exposure, published: Published, policy: Policy, tokenize: Tokenize | None
) -> Draft:
    """What a page was made of, on its surface as it is under a policy.

    Args:
        live: where pages and events are.
        exposure: the page.
        published: profiles and catalogue.
        policy: rules and surfaces.
        tokenize: text → token ids; None: no model reads text.

    Raises:
        LookupError: it is no longer kept, or there is no such surface.
    """
    page, user = orjson.loads(exposure.page), exposure.user_id
    before = await live.scrolled(exposure.after, user)
    shown = {item for one in before for row in orjson.loads(one)["rows"] for item in row["items"]}
    events, base = await live.events(user), await live.base(user)
    drafted = draft_of(published, exposure, page, events, base, shown)
    if drafted is None or page["surface"] not in policy.surfaces.by_name:
        raise LookupError("impression_id: what this page was made of is no longer kept")
    draft = on_surface(drafted[0], surface_of(policy, page), drafted[1])
    tokens = tokenize(page["query"]) if tokenize and page["query"] else ()
    request = dataclasses.replace(draft.reader.request, query_token_ids=tokens)
    return dataclasses.replace(draft, reader=dataclasses.replace(draft.reader, request=request))


class _Trial:
    """Lists of one card's page, within a deadline."""

    def __init__(self, models: Models, card: Card, items: Items, vectors: Vectors, policy: Policy):
        self._models, self._card, self._items = models, card, items
        self._vectors, self._policy = vectors, policy
        self._until = time.monotonic() + MAX_SECONDS
        self.found: Tried | None = None  # So far.

    async def run(self) -> Tried | None:
        """All that is to be found.

        Raises:
            Unavailable: not in time; what is known by then is in `found`.
        """
        card, request = self._card, self._card.draft.reader.request
        parts = parts_of(request)
        full, *less = await self._lists([()] + [(part,) for part in parts])
        scores = [_scores(one) for one in (full, *less)]
        if card.item_id not in scores[0]:
            return None  # The models in service do not find it.
        field = list(scores[0])
        lost = drops(scores[0], scores[1:], card.item_id, field)
        effects = dict(zip(parts, lost, strict=True))
        self.found = Tried(effects, model_version=full.model_version)
        rivals = rivals_of(effects)
        if not rivals:
            return self.found
        trials, prefixes = trials_of(rivals), [rivals[:count] for count in range(1, len(rivals) + 1)]
        lists = await self._lists([*trials, *prefixes])
        leads = [lead(_scores(one), card.item_id, field) for one in lists[: len(trials)]]
        self.found = dataclasses.replace(self.found, strengths=strengths(effects, rivals, leads))
        before = self._page(full)
        if card.item_id not in before.get(card.row["id"], ()):
            return self.found
        if displacing := await self._smallest(prefixes, lists[len(trials) :]):
            shown = {item for row in before.values() for item in row}
            fresh = [item for item in displacing[1] if item not in shown]
            if fresh:
                items = [part.name for part in displacing[0]]
                self.found = dataclasses.replace(self.found, items=items, instead=fresh[0])
        return self.found

    async def _smallest(self, prefixes: Sequence[Sequence[Part]], lists: Sequence[Found]) -> Displacing | None:
        """Events without which the card leaves its row, and the row then: as few as are found by taking the strongest
        together, and then leaving out those that were not needed."""
        best = await self._displacing(prefixes, lists)
        while best and len(best[0]) > 1:
            fewer = [[part for part in best[0] if part != spared] for spared in best[0]]
            if (found := await self._displacing(fewer, await self._lists(fewer))) is None:
                break
            best = found
        return best

    async def _displacing(self, sets: Sequence[Sequence[Part]], lists: Sequence[Found]) -> Displacing | None:
        """The first set of events without which the page, made again, has no such card in the row."""
        for some, found in zip(sets, lists, strict=True):
            row = self._page(found).get(self._card.row["id"], ())
            if self._card.item_id not in row:
                return some, row
            await asyncio.sleep(0)  # Pages come first.
        return None

    async def _lists(self, gone: Sequence[Sequence[Part]]) -> list[Found]:
        request, page = self._card.draft.reader.request, self._card.page
        k = min(MAX_RANKED, max(FEWEST_PLACES, len(page["candidates"])))
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise Unavailable("no time is left")
        requests = [without(request, some) for some in gone]
        return await self._models.find_all(self._card.found_by, requests, k, seconds)

    def _page(self, found: Found) -> dict[str, list[str]]:
        """Row → items of the page with another main list."""
        draft = self._card.draft
        other = dataclasses.replace(draft.found, places=found.places, source=found.source)
        made = make(dataclasses.replace(draft, found=other), self._items, self._vectors, self._policy.ruling)
        return {row.id: [card["item_id"] for card in row.cards] for row in made.rows}


def evidence_of(card: Card, items: Items, policy: Policy, tried: Tried | None) -> Evidence:
    """What is known of a card.

    Rules are told only where those in force are those that the page was made under.
    """
    page, draft, item_id = card.page, card.draft, card.item_id
    request = draft.reader.request
    pins: dict[str, Sequence[str]] = {}
    boosts: dict[str, float] = {}
    if page["rules_version"] == policy.version and item_id in items.cards:
        in_force = policy.ruling.counting(request.features, draft.now, draft.surface.rules, page["set_aside"])
        bits = policy.ruling.bits(item_id, draft.now)
        pins = {one.name: one.rule.pin for one in in_force.rules if one.rule.pin}
        boosts = {one.name: one.rule.by or 1.0 for one in in_force.rules if one.rule.boost and bits & one.bit}
    hottest = page.get("hottest", {})
    lists = {name: hottest.get(name, ()) for name in ("hot", "trending")}
    propensities = card.row.get("propensities", ())
    available = items.cards.get(item_id, {}).get("available_from")
    return Evidence(
        item_id,
        card.found_by,
        [event.item_id for event in request.history],
        tried.effects if tried else {},
        tried.strengths if tried else {},
        (page["similar"][0], page["similar"][1]) if page["similar"] else None,
        page["query"],
        sorted(searched(page["query"]) & searched(items.titles.get(item_id, ""))),
        {tag: weight for tag in items.segments(item_id) if (weight := draft.reader.taste.get(tag, 0.0)) > 0},
        lists | {"popular": items.popular[:NUM_POPULAR], "editors": items.picks},
        available,
        pins,
        boosts,
        propensities[card.place] if propensities else 1.0,
        page["arms"],
    )


def _told(card: Card, tried: Tried | None, evidence: Evidence, items: Items) -> dict[str, Any]:
    def title(item_id: str) -> str:
        return items.titles.get(item_id, item_id)

    reasons = [
        dataclasses.asdict(reason)
        | {"text": {language: sentence(reason, evidence, title, language) for language in LANGUAGES}}
        for reason in reasons_of(evidence)
    ]
    instead = None
    if tried and tried.items:
        titles = [title(item_id) for item_id in tried.items]
        text = {language: counterfactual(titles, title(tried.instead), language) for language in LANGUAGES}
        instead = {"without": tried.items, "item_id": tried.instead, "text": text}
    return {
        "impression_id": card.page["impression_id"],
        "item_id": card.item_id,
        "title": title(card.item_id),
        "row": card.row["id"],
        "found_by": card.found_by,
        "is_as_recorded": card.is_as_recorded,
        "is_measured": tried is not None,
        "model_version": card.page["model_version"],
        "answered_by": tried.model_version if tried else None,
        "reasons": reasons,
        "instead": instead,
    }


def _scores(found: Found) -> Scores:
    return {place.item_id: place.score or 0.0 for place in found.places}
