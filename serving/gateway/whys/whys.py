"""Tells why cards were shown, beside the pages and never in their way."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from homefeed.serving.gateway.labels import Labels
from homefeed.serving.gateway.ladder import MAX_LAG_SECONDS, MAX_RANKED
from homefeed.serving.gateway.limits import TooMuch
from homefeed.serving.gateway.making import Vectors
from homefeed.serving.gateway.models import SIGNATURES, Unavailable
from homefeed.serving.gateway.policies import Policy
from homefeed.serving.gateway.pulse import Pulse
from homefeed.serving.gateway.whys.ahead import Ahead, Key
from homefeed.serving.gateway.whys.card import Card, read_card
from homefeed.serving.gateway.whys.lists import Lists, Turn
from homefeed.serving.gateway.whys.telling import evidence_of, told
from homefeed.serving.gateway.whys.trial import Trial, Tried
from homefeed.serving.profiles import Exposure, Store
from homefeed.serving.queries import Tokenize

PAGES_OF_A_WHY = 5  # So many pages cost as much as a card's reasons.
MAX_AT_ONCE = 2  # The models are there for pages first.
FEWEST_PLACES = 100


@dataclasses.dataclass(frozen=True)
class Sources:
    """What reasons are told from, beside the page.

    Attributes:
        policy: rules and surfaces in force, with profiles and catalogue.
        vectors: item ids → [num_items, width], for diversity.
        tokenize: text → token ids; None: no model reads text.
    """

    policy: Policy
    vectors: Vectors
    tokenize: Tokenize | None


class Whys:
    """Tells why cards were shown.

    Args:
        live: where pages and events are.
        models: the model server; None: there is none.
        pulse: how late the event loop is.
        num_ahead: cards of a first row whose reasons are made before anybody asks.

    Attributes:
        ahead: these.
    """

    def __init__(self, live: Store, models: Labels | None, pulse: Pulse, num_ahead: int = 0):
        self._live, self._models, self._pulse = live, models, pulse
        self._under_way = 0
        self.ahead = Ahead(pulse, num_ahead)

    async def why(self, exposure: Exposure, item_id: str, sources: Sources) -> dict[str, Any]:
        """The reasons of a card, as docs/why.md has them.

        Raises:
            NotFound: the page has no such card, or what it was made of is no longer there.
            TooMuch: there is no room beside the pages.
        """
        if found := self.ahead.find(self._key(exposure, item_id, sources)):
            return found
        if self._under_way >= MAX_AT_ONCE or self._pulse.lag_seconds > MAX_LAG_SECONDS:
            raise TooMuch("more reasons are asked for than can be told beside the pages", 1)
        self._under_way += 1
        try:
            return await self._why(exposure, item_id, sources, {})
        finally:
            self._under_way -= 1

    async def make_ahead(self, exposure: Exposure, items: Sequence[str], sources: Sources) -> None:
        """Makes the reasons of some cards, which share what models said, and keeps those that were measured.

        Raises:
            NotFound: what the page was made of is no longer there.
        """
        lists: dict[tuple[str, str], Lists] = {}
        for item_id in items:
            key = self._key(exposure, item_id, sources)
            await self.ahead.turn()
            answer = await self._why(exposure, item_id, sources, lists, self.ahead.turn)
            if answer["is_measured"] and key == self._key(exposure, item_id, sources):  # No other models meanwhile.
                self.ahead.keep(key, exposure.user_id, answer)

    def _key(self, exposure: Exposure, item_id: str, sources: Sources) -> Key:
        versions = self._models.versions if self._models else ()
        return Key(exposure.impression_id, item_id, (sources.policy.published.mark, sources.policy.version, versions))

    async def _why(
        self,
        exposure: Exposure,
        item_id: str,
        sources: Sources,
        lists: dict[tuple[str, str], Lists],
        turn: Turn | None = None,
    ) -> dict[str, Any]:
        policy = sources.policy
        card = await read_card(self._live, exposure, item_id, policy, sources.tokenize)
        tried = None
        if self._models and card.model in SIGNATURES and card.is_as_recorded:
            of = card.model, card.label
            if of not in lists:
                k = min(MAX_RANKED, max(FEWEST_PLACES, len(card.page["candidates"])))
                lists[of] = Lists(await self._models.learnt(card.label), card.model, card.request, k, turn)
            tried = await self._try(card, lists[of], sources)
        return told(card, tried, evidence_of(card, policy, tried), policy)

    async def _try(self, card: Card, lists: Lists, sources: Sources) -> Tried | None:
        """Lists without parts of the request; None: no model answers."""
        trial = Trial(lists, card, sources.vectors, sources.policy)
        try:
            return await trial.run()
        except Unavailable:
            return trial.found
