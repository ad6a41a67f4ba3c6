"""What becomes of a card without parts of the request: effects of events, and the fewest without which it is gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from homefeed.models.faithfulness.removal import Part, Scores, drops, lead, parts_of, rivals_of, strengths, trials_of
from homefeed.serving.gateway.making import Vectors, make
from homefeed.serving.gateway.models import Found
from homefeed.serving.gateway.policies import Policy
from homefeed.serving.gateway.whys.card import Card
from homefeed.serving.gateway.whys.lists import Lists

Displacing = tuple[Sequence[Part], Sequence[str]]
"""Events without which a card is not in its row, and the items of the row then."""


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


class Trial:
    """What becomes of a card without parts of what models were told.

    Args:
        lists: of the model that found it.
        card: see there.
        vectors: item ids → [num_items, width], for diversity.
        policy: rules and surfaces in force, with the catalogue.

    Attributes:
        found: so far; None: nothing.
    """

    def __init__(self, lists: Lists, card: Card, vectors: Vectors, policy: Policy):
        self._lists, self._card = lists, card
        self._vectors, self._policy = vectors, policy
        self.found: Tried | None = None

    async def run(self) -> Tried | None:
        """All that is to be found.

        Raises:
            Unavailable: not in time; what is known by then is in `found`.
        """
        card = self._card
        parts = parts_of(card.request)
        self._lists.begin()
        full, *less = await self._lists.without([()] + [(part,) for part in parts])
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
        lists = await self._lists.without([*trials, *prefixes])
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
            if (found := await self._displacing(fewer, await self._lists.without(fewer))) is None:
                break
            best = found
        return best

    async def _displacing(self, sets: Sequence[Sequence[Part]], lists: Sequence[Found]) -> Displacing | None:
        """The first set of events without which the page, made again, has no such card in the row."""
        for some, found in zip(sets, lists, strict=True):
            row = self._page(found).get(self._card.row["id"], ())
            if self._card.item_id not in row:
                return some, row
            await self._lists.turn()
        return None

    def _page(self, found: Found) -> dict[str, list[str]]:
        """Row → items of the page with another main list."""
        draft = self._card.draft
        other = dataclasses.replace(draft.found, places=found.places, source=found.source)
        other_draft, items = dataclasses.replace(draft, found=other), self._policy.published.items
        made = make(other_draft, items, self._vectors, self._policy.ruling)
        return {row.id: [card["item_id"] for card in row.cards] for row in made.rows}


def _scores(found: Found) -> Scores:
    return {place.item_id: place.score or 0.0 for place in found.places}
