"""From candidates to cards: rules, then the variety of the first row, then chance, then what still fits."""

from __future__ import annotations

import dataclasses
import itertools
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from homefeed.serving.policy.diversity import Diversity, Vectors, diversify
from homefeed.serving.policy.exploration import Exploration, Lottery
from homefeed.serving.policy.filling import Candidate, Filling, drawn
from homefeed.serving.policy.rules import Card
from homefeed.serving.policy.ruling import InForce

MAX_LOOKED_AT = 1_000  # Candidates of a row: a rule may refuse them all.
MAX_POOL = 200  # Candidates that boosts and variety choose from.
PIN = "pin"
ODDS_DIGITS = 3

Floats = npt.NDArray[np.float64]


class Exploring(NamedTuple):
    """What is left to chance in a row.

    Attributes:
        how: and how much.
        seed: of the draws: with the same one they are the same.
        new: items that are new, newest first.
    """

    how: Exploration
    seed: int
    new: Iterable[Candidate]


@dataclasses.dataclass(frozen=True)
class Steps:
    """What became of a row's candidates.

    Attributes:
        row: its id.
        candidates: that may be shown at all, in the order of relevance, before any rule.
        refused: item → the rule that keeps it off.
        ruled: after rules and boosts.
        diversified: after diversity; as far as cards are seen.
        shown: the cards, some of them by chance.
    """

    row: str
    candidates: Sequence[Candidate]
    refused: Mapping[str, str]
    ruled: Sequence[str]
    diversified: Sequence[str]
    shown: Sequence[str]


class Catalogue(Protocol):
    """The items that cards are made of."""

    @property
    def cards(self) -> Mapping[str, Card]:
        """Item id → card."""

    def is_available(self, item_id: str, now: float) -> bool:
        """Whether it can be shown at a time, Unix seconds."""


class Arrangement:
    """Gives out cards so that no item stands on a page twice, none that must not be shown, and no rule is broken.

    Args:
        items: the catalogue.
        excluded: what must not be shown to this reader.
        k: cards of a row.
        now: Unix seconds.
        rules: that count.
        vectors: item ids → [num_items, width] of length 1, or 0 where nothing is known.
        tell: is told what became of each row; None: nobody asks.

    Attributes:
        propensities: item → probability of a card that was drawn, given the cards above.
    """

    def __init__(
        self,
        items: Catalogue,
        excluded: Collection[str],
        k: int,
        now: float,
        rules: InForce,
        vectors: Callable[[Sequence[str]], Vectors],
        tell: Callable[[Steps], None] | None = None,
    ):
        self._items, self._k, self._now, self._vectors = items, k, now, vectors
        self._used = set(excluded)
        self._rules, self._tally, self._tell = rules, rules.tally(), tell
        self._is_first = True
        self.propensities: dict[str, float] = {}

    def take(
        self,
        row: str,
        candidates: Iterable[Candidate],
        fill: Iterable[Candidate] = (),
        how: Diversity | None = None,
        fatigue: Mapping[str, float] = types.MappingProxyType({}),
        exploring: Exploring | None = None,
        unexpected: Callable[[Sequence[str]], Sequence[float]] | None = None,
    ) -> list[Card]:
        """The cards of the next row.

        Args:
            row: its id.
            candidates: in the order of relevance.
            fill: what stands below them where they are too few.
            how: diversity of the row; None: as they come.
            fatigue: item → how often it was seen and not acted on, faded; it stands so many times lower.
            exploring: what is left to chance; None: nothing.
            unexpected: items → how far each is outside of the reader's interests, 0 … 1; None: nothing is known.
        """
        is_first, self._is_first = self._is_first, False
        looked_at = itertools.islice(self._showable(candidates), MAX_LOOKED_AT)
        found = list(itertools.islice(looked_at, MAX_POOL)) if self._chooses(how, fatigue, exploring) else []
        pool = [candidate for candidate in found if self._rules.admits(candidate.item_id)]
        pool, scores = self._boosted(pool, fatigue)
        ruled = [candidate.item_id for candidate in pool]
        pool = self._diversified(pool, scores, how, unexpected if how and how.serendipity else None)
        rest = (candidate for candidate in looked_at if self._rules.admits(candidate.item_id))
        filling = (candidate for candidate in self._showable(fill) if self._rules.admits(candidate.item_id))
        filled = Filling(self._k, self._tally.lacking(row, is_first), self._tally, self._used, bool(exploring))
        filled.offer(self._pinned(row, is_first))
        if exploring:
            filled.offer(self._drawn(pool, scores, exploring, filled))
        filled.offer(itertools.chain(pool, rest, filling))
        shown = filled.cards()
        if self._tell:
            self._tell(self._steps(row, found, ruled, pool, shown))
        return [self._card(candidate) for candidate in shown]

    def unmet(self) -> list[str]:
        """Rules of whose cards the page has too few."""
        return self._tally.unmet()

    def _chooses(self, how: Diversity | None, fatigue: Mapping[str, float], exploring: Exploring | None) -> bool:
        """Whether the order of candidates is not simply theirs."""
        return bool(how or fatigue or exploring or self._rules.boosts or self._tell)

    def _showable(self, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
        used, is_available, now = self._used, self._items.is_available, self._now
        return (one for one in candidates if one.item_id not in used and is_available(one.item_id, now))

    def _pinned(self, row: str, is_first: bool) -> Iterator[Candidate]:
        pinned = (Candidate(item_id, found_by=PIN) for item_id in self._rules.pins(row, is_first))
        return (one for one in self._showable(pinned) if self._rules.admits(one.item_id))

    def _boosted(self, pool: list[Candidate], fatigue: Mapping[str, float]) -> tuple[list[Candidate], Floats | None]:
        """In the order of odds, or of places where nothing scored them, after boosts and what was seen too often."""
        scores = odds([one.score for one in pool])
        if not fatigue and not self._rules.boosts:
            return pool, scores
        factors = np.array([self._rules.factor(one.item_id) for one in pool], np.float64)
        if fatigue:
            factors /= [1 + fatigue.get(one.item_id, 0.0) for one in pool]
        if scores is None:
            keys = np.arange(1, len(pool) + 1) / factors
        else:
            scores = scores + np.log(factors)
            keys = -scores
        order = np.argsort(keys, kind="stable")
        return [pool[place] for place in order.tolist()], None if scores is None else scores[order]

    def _diversified(
        self,
        pool: list[Candidate],
        scores: Floats | None,
        how: Diversity | None,
        unexpected: Callable[[Sequence[str]], Sequence[float]] | None,
    ) -> list[Candidate]:
        if how is None or len(pool) < 3:
            return pool
        item_ids = [one.item_id for one in pool[: how.pool]]
        vectors = self._vectors(item_ids)
        if not vectors.any():
            return pool
        order = diversify(vectors, scores, self._k, how, unexpected(item_ids) if unexpected else None)
        return [*(pool[place] for place in order), *pool[how.pool :]]

    def _drawn(
        self, pool: Sequence[Candidate], scores: Floats | None, exploring: Exploring, filling: Filling
    ) -> Iterator[Candidate]:
        """Cards by chance. What stands at a place of the list has the score of that place, whoever it is."""
        how = exploring.how
        listed = pool[: how.pool]
        of_list = {one.item_id for one in listed}
        showable = (one for one in self._showable(exploring.new) if self._rules.admits(one.item_id))
        new = {one.item_id: one for one in itertools.islice(showable, how.fresh)}
        candidates = [*listed, *(one for one in new.values() if one.item_id not in of_list)]
        means = None if scores is None else scores[: len(listed)]
        deviations = [one.deviation for one in listed if one.deviation is not None]
        known = deviations if len(deviations) == len(listed) else None
        are_new = [place for place, one in enumerate(candidates) if one.item_id in new]
        lottery = Lottery(how, len(listed), means, known, are_new, self._k)
        return drawn(candidates, lottery, filling, exploring.seed, self.propensities)

    def _card(self, candidate: Candidate) -> Card:
        scored = {name: getattr(candidate, name) for name in ("score", "probability")}
        told = {name: value for name, value in scored.items() if value is not None}
        if candidate.probability is not None and candidate.deviation is not None:
            slope = candidate.probability * (1 - candidate.probability)
            told["probability_deviation"] = round(candidate.deviation * slope, 6)
        return {**self._items.cards[candidate.item_id], **told, "found_by": candidate.found_by}

    def _steps(
        self,
        row: str,
        found: Sequence[Candidate],
        ruled: Sequence[str],
        pool: Sequence[Candidate],
        shown: Sequence[Candidate],
    ) -> Steps:
        refused = {one.item_id: self._rules.refusing(one.item_id) for one in found}
        refused |= {
            one.item_id: self._tally.full(one.item_id)
            for one in pool[: self._k]
            if one not in shown and not refused[one.item_id]
        }
        return Steps(
            row,
            found,
            {item_id: name for item_id, name in refused.items() if name},
            ruled,
            [one.item_id for one in pool],
            [one.item_id for one in shown],
        )


def odds(scores: Sequence[float | None]) -> Floats | None:
    """Scores as order depends on them, rounded so that a page can be made again; None: some are not there."""
    if not scores or None in scores:
        return None
    known: npt.NDArray[np.float64] = np.array(scores, np.float64)
    return known.round(ODDS_DIGITS)


def merged(sources: Sequence[tuple[Iterable[Candidate], int]]) -> Iterator[Candidate]:
    """Lists in turn, so that each prefix has of each list its share, as nearly as whole cards go; no item twice.

    Args:
        sources: list and share.

    >>> one, two = [[Candidate(f"{name}{n}") for n in range(4)] for name in "ab"]
    >>> [candidate.item_id for candidate in merged([(one, 3), (two, 1)])]
    ['a0', 'a1', 'b0', 'a2', 'a3', 'b1', 'b2', 'b3']
    """
    lists = [iter(candidates) for candidates, _ in sources]
    shares = [share for _, share in sources]
    credit, given = [0.0] * len(lists), set[str]()
    while any(shares):
        credit = [have + share / sum(shares) for have, share in zip(credit, shares, strict=True)]
        turn = max((place for place, share in enumerate(shares) if share), key=lambda place: credit[place])
        candidate = next((one for one in lists[turn] if one.item_id not in given), None)
        if candidate is None:
            shares[turn] = 0
            continue
        credit[turn] -= 1
        given.add(candidate.item_id)
        yield candidate


def fatigue(seen: Iterable[tuple[str, float]], now: float, half_life_hours: float) -> dict[str, float]:
    """Item → how often it was seen, older times counting less.

    Args:
        seen: item and Unix seconds of each time.
        now: Unix seconds.
        half_life_hours: after which a time counts half.

    >>> fatigue([("a", 0.0), ("a", 3600.0)], now=3600.0, half_life_hours=1.0)
    {'a': 1.5}
    """
    weights: dict[str, float] = {}
    for item_id, at in seen:
        faded = 2.0 ** (-max(0.0, now - at) / 3600 / half_life_hours)
        weights[item_id] = weights.get(item_id, 0.0) + faded
    return weights
