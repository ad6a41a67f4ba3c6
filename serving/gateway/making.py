"""A page from its draft: rows of candidates, then rules, diversity, chance and cards."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from homefeed.models.requests import Request
from homefeed.serving.gateway.hot import NOTHING_HOT, Hottest
from homefeed.serving.gateway.items import Items
from homefeed.serving.gateway.page import Place, Reader, Row, strongest, unexpected
from homefeed.serving.policy.arrangement import MAX_POOL, Arrangement, Exploring, Steps, merged, odds
from homefeed.serving.policy.diversity import Vectors as Matrix
from homefeed.serving.policy.exploration import Exploration
from homefeed.serving.policy.filling import Candidate
from homefeed.serving.policy.ruling import InForce, Ruling
from homefeed.serving.policy.surfaces import RowName, Source, Surface
from homefeed.serving.recommender import FUSED

Vectors = Callable[[Sequence[str]], Matrix]
MORE_OF = "more_of: "  # What `found_by` begins with, before the fact that is shared.


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found for a page, before anything is said about it.

    Attributes:
        places: the main list, best first.
        source: what it was made from.
        served_by: the rung that made it.
        similar: an item, and items that are like it; None: there is none.
        hottest: what is hot now.
        friends: what people took whom the reader is related to, best first.
        more_of: an item with which others share facts; "": there is none.
    """

    places: Sequence[Place]
    source: str
    served_by: str
    similar: tuple[str, Sequence[str]] | None = None
    hottest: Hottest = NOTHING_HOT
    friends: Sequence[str] = ()
    more_of: str = ""


@dataclasses.dataclass(frozen=True)
class Draft:
    """All that a page is made of beside catalogue, vectors and rules: with the same ones it is the same page.

    Attributes:
        surface: what kind of page.
        reader: who looks.
        found: for them.
        k: cards of a row.
        now: Unix seconds.
        query: what they search for.
        goes_on: whether somebody scrolls on from an earlier page, to a row that has no name of its own.
        fatigue: item → how often it was seen and not acted on.
        seed: of what is left to chance.
    """

    surface: Surface
    reader: Reader
    found: Found
    k: int
    now: float
    query: str = ""
    goes_on: bool = False
    fatigue: Mapping[str, float] = dataclasses.field(default_factory=dict)
    seed: int = 0

    @property
    def exploration(self) -> Exploration | None:
        """What is left to chance: nothing of a search, of scrolling on, and where less than all models answer."""
        plain = self.query or self.goes_on or self.found.served_by != FUSED
        return None if plain else self.surface.exploration


@dataclasses.dataclass(frozen=True)
class Made:
    """A page.

    Attributes:
        rows: those that have cards.
        set_aside: rules that were set aside, because they would have left nothing.
        unmet: rules of whose cards there were too few.
        propensities: item → probability of each card that was drawn, given the cards above; the others were certain.
        steps: of each row, if they are to be told.
    """

    rows: Sequence[Row]
    set_aside: Sequence[str] = ()
    unmet: Sequence[str] = ()
    propensities: Mapping[str, float] = dataclasses.field(default_factory=dict)
    steps: Sequence[Steps] = ()


def make(draft: Draft, items: Items, vectors: Vectors, ruling: Ruling, explains: bool = False) -> Made:
    """The page of a draft. A rule that leaves nothing is set aside, unless it is strict, the last of a file first.

    Args:
        draft: see there.
        items: the catalogue.
        vectors: item ids → [num_items, width], for diversity.
        ruling: rules as they stand to the catalogue.
        explains: whether the steps of each row are told.
    """

    # One that is made again may stand to other rules than those by which it was found.
    draft = dataclasses.replace(draft, found=_about_no_denied_item(draft.found, ruling))

    def attempt(without: Sequence[str]) -> Made:
        steps: list[Steps] = []
        rules = ruling.counting(draft.reader.request.features, draft.now, draft.surface.rules, without)
        arrangement = Arrangement(
            items, draft.reader.excluded, draft.k, draft.now, rules, vectors, steps.append if explains else None
        )
        rows = [row for row in _rows(draft, items, arrangement, rules) if row.cards]
        return Made(rows, without, arrangement.unmet(), arrangement.propensities, steps)

    made = attempt(())
    if made.rows or draft.goes_on or not ruling.rules.by_name:
        return made
    loose = ruling.counting(draft.reader.request.features, draft.now, draft.surface.rules).loose()
    tries = (attempt(loose[:count]) for count in range(1, len(loose) + 1))
    return next((other for other in tries if other.rows), made)


def _about_no_denied_item(found: Found, ruling: Ruling) -> Found:
    """What was found, without the rows that name an item that nobody may be shown."""
    if found.similar and ruling.is_denied(found.similar[0]):
        found = dataclasses.replace(found, similar=None)
    return dataclasses.replace(found, more_of="") if ruling.is_denied(found.more_of) else found


def _rows(draft: Draft, items: Items, arrangement: Arrangement, rules: InForce) -> Iterator[Row]:
    sources = _sources(draft, items)
    wherever = unscored(rules.popular() if rules.rules else items.popular, "popular")

    def outside_interests(item_ids: Sequence[str]) -> Sequence[float]:
        return unexpected(map(items.segments, item_ids), draft.reader.taste)

    def candidates(row: str, named: RowName) -> Iterator[Candidate]:
        mix = draft.surface.mix.get(named)
        return merged([(sources[source](), share) for source, share in mix.items()]) if mix else sources[OWN[row]]()

    if draft.goes_on:
        cards = arrangement.take("more", candidates("for_you", "for_you"), wherever)
        yield Row("more", {"code": draft.found.source}, cards)
        return
    for place, named in enumerate(draft.surface.rows):
        name = "search" if draft.query and named == "for_you" else named
        reason = _reason(name, draft, items)
        if reason is None:
            continue
        found = candidates(name, named)
        fill = _fill(name, draft, items, wherever)
        if place == 0 and not draft.query:
            how = draft.exploration
            exploring = Exploring(how, draft.seed, unscored(items.newest, "new")) if how else None
            cards = arrangement.take(
                name, found, fill, draft.surface.diversity, draft.fatigue, exploring, outside_interests
            )
        else:
            cards = arrangement.take(name, found, fill)
        yield Row(name, reason, cards)


def _fill(row: str, draft: Draft, items: Items, wherever: Iterator[Candidate]) -> Iterator[Candidate]:
    """What stands below the candidates of a row: a list of long ago, or of a small model, may hold too little."""
    if row == "for_you":
        return itertools.chain(_sources(draft, items)["popular"](), wherever)
    if row == "similar" and draft.found.similar:
        tags = dict.fromkeys(items.tags(draft.found.similar[0]), 1.0)
        return unscored(items.near(tags), "popular")
    return iter(())


OWN: Mapping[str, Source] = {
    "for_you": "model",
    "search": "model",
    "similar": "similar",
    "because": "similar",
    "more_of": "more_of",
    "friends": "friends",
    "trending": "trending",
    "new": "new",
    "near_taste": "near_taste",
    "popular": "popular",
    "editors": "editors",
}
"""Row → where its candidates come from, where no mix says otherwise."""


def _sources(draft: Draft, items: Items) -> dict[Source, Callable[[], Iterator[Candidate]]]:
    """Source → its candidates, each time from the beginning."""
    found, taste = draft.found, draft.reader.taste
    return {
        "model": lambda: (Candidate(*place, found_by=found.served_by) for place in found.places),
        "similar": lambda: unscored(found.similar[1] if found.similar else (), "similar"),
        "more_of": lambda: (Candidate(i, found_by=f"{MORE_OF}{fact}") for i, fact in items.more_of(found.more_of)),
        "friends": lambda: unscored(found.friends, "friends"),
        "hot": lambda: unscored(found.hottest.hot, "hot"),
        "trending": lambda: unscored(found.hottest.trending, "trending"),
        "new": lambda: unscored(items.newest, "new"),
        "near_taste": lambda: unscored(items.near(taste), "near_taste"),
        "popular": lambda: itertools.chain(
            unscored(items.near(taste), "near_taste"), unscored(items.popular, "popular")
        ),
        "editors": lambda: unscored(items.picks, "editors"),
    }


def _reason(row: str, draft: Draft, items: Items) -> dict[str, Any] | None:
    """Why a row is there; None: it cannot be."""
    if row == "search":
        return {"code": "query", "query": draft.query} if draft.query else None
    if row == "for_you":
        return {"code": draft.found.source}
    if row == "near_taste":
        return {"code": row, "tags": strongest(draft.reader.taste)}
    if row == "more_of":
        about = draft.found.more_of
        return {"code": row, "item_id": about, "title": items.titles.get(about, about)} if about else None
    if row not in ("because", "similar"):
        return {"code": row}
    if not draft.found.similar or (row == "because" and not draft.found.similar[1]):
        return None
    about = draft.found.similar[0]
    return {"code": row, "item_id": about, "title": items.titles.get(about, about)}


def unscored(item_ids: Iterable[str], found_by: str = "") -> Iterator[Candidate]:
    """Candidates that nothing scored."""
    return (Candidate(item_id, found_by=found_by) for item_id in item_ids)


def seed_of(impression_id: str) -> int:
    """The seed of a page, which no two pages have in common: 52 bits, so that every reader of JSON can hold it."""
    return int(impression_id[:13], 16)


def recorded(draft: Draft, made: Made, item_id: str | None) -> dict[str, Any]:
    """What is kept of a page, so that it can be made again under other rules."""
    places = draft.found.places[:MAX_POOL]
    scores = odds([place.score for place in places])
    return {
        "query": draft.query,
        "k": draft.k,
        "item_id": item_id,
        "asked": asked(draft.reader.request),
        "arms": {},  # Of experiments, once there are some.
        "seed": draft.seed if draft.exploration else None,
        "source": draft.found.source,
        "candidates": [place.item_id for place in places],
        "scores": [None] * len(places) if scores is None else scores.tolist(),
        "deviations": [place.deviation for place in places] if draft.exploration else [None] * len(places),
        "similar": draft.found.similar,
        "hottest": vars(draft.found.hottest),
        "friends": draft.found.friends,
        "more_of": draft.found.more_of,
        "rows": [
            {
                "id": row.id,
                "items": [card["item_id"] for card in row.cards],
                "found_by": [card["found_by"] for card in row.cards],
                **_by_chance(row, made.propensities),
            }
            for row in made.rows
        ],
    }


def _by_chance(row: Row, propensities: Mapping[str, float]) -> dict[str, list[float]]:
    """The probability of each card of a row, given those above; nothing where all are certain."""
    found = [propensities.get(card["item_id"]) for card in row.cards]
    return {"propensities": [1.0 if one is None else one for one in found]} if any(found) else {}


def asked(request: Request) -> str:
    """Tells what a model was told of a user from anything else: a digest of history and features."""
    told = [[event.item_id, event.value, event.event_type, event.timestamp] for event in request.history]
    return hashlib.blake2b(orjson.dumps([told, dict(request.features)]), digest_size=8).hexdigest()
