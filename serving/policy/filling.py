"""A row while it is filled: no card twice, none beyond a limit, and places kept for what a quota wants."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from homefeed.serving.policy.exploration import Lottery, draw
from homefeed.serving.policy.ruling import Limit, Tally


class Candidate(NamedTuple):
    """An item that may stand in a row.

    Attributes:
        score, probability: of the model; None: nothing scored it.
        deviation: of the probability's log-odds; None: nothing says how sure it is.
        found_by: where it comes from: a rung, a row's own list, or `pin`.
    """

    item_id: str
    score: float | None = None
    probability: float | None = None
    deviation: float | None = None
    found_by: str = ""


class Filling:
    """Gives candidates their places, in the order in which they are offered.

    Args:
        k: places.
        lacking: bit of a rule → cards that the row owes it.
        tally: of the page.
        used: items of the page and those that must not be on it; cards are added.
        by_lot: whether no card may come to stand above one that is there already: it was drawn without it.
    """

    def __init__(self, k: int, lacking: Mapping[int, int], tally: Tally, used: set[str], by_lot: bool = False):
        self.tally, self.used, self._by_lot = tally, used, by_lot
        self._k, self._lacking = k, dict(lacking)
        self._shown, self._spared = dict[int, Candidate](), dict[int, Candidate]()
        self._offered = 0

    @property
    def room(self) -> int:
        """Places that are left."""
        return self._k - len(self._shown)

    @property
    def kept(self) -> int:
        """Bits of the rules that all places that are left are kept for; 0: they are for any card."""
        return sum(self._lacking) if self.room <= sum(self._lacking.values()) else 0

    def offer(self, candidates: Iterable[Candidate]) -> None:
        """Takes candidates until the row is full."""
        offered = iter(candidates)
        while self.room and (candidate := next(offered, None)):
            self._take(candidate)

    def cards(self) -> list[Candidate]:
        """What is shown; as far as there is less of what a quota wants than it wants, others that were passed by."""
        for place, candidate in self._spared.items():
            if self.room and self._places(candidate):
                self._shown[place] = candidate
        return [self._shown[place] for place in (self._shown if self._by_lot else sorted(self._shown))]

    def _take(self, candidate: Candidate) -> None:
        place, kept = self._offered, self.kept
        self._offered += 1
        bits = self.tally.bits(candidate.item_id) if self._lacking else 0
        if kept and not bits & kept:
            self._spared[place] = candidate
        elif self._places(candidate):
            self._shown[place] = candidate
            owed = {bit: count - bool(bits & bit) for bit, count in self._lacking.items()}
            self._lacking = {bit: count for bit, count in owed.items() if count > 0}

    def _places(self, candidate: Candidate) -> bool:
        """Puts a card on the page, if it is within all limits."""
        if candidate.item_id in self.used or self.tally.full(candidate.item_id):
            return False
        self.used.add(candidate.item_id)
        self.tally.add(candidate.item_id)
        return True


def drawn(
    candidates: Sequence[Candidate], lottery: Lottery, filling: Filling, seed: int, propensities: dict[str, float]
) -> Iterator[Candidate]:
    """Cards by lot, each from those that can stand at its place; each is placed before the next one is asked for.

    Args:
        candidates: of the lottery.
        lottery: their probabilities.
        filling: of the row.
        seed: of the lots.
        propensities: item → probability of what was drawn, given the cards above; they are added.
    """
    lots, tally = random.Random(seed), filling.tally
    left = np.array([one.item_id not in filling.used for one in candidates], bool)
    limited: defaultdict[Limit, list[int]] = defaultdict(list)
    for place, one in enumerate(candidates):
        for limit in tally.limits(one.item_id):
            limited[limit].append(place)

    def close(limits: Iterable[Limit]) -> None:
        for limit in limits:
            if tally.is_reached(limit):
                left[limited[limit]] = False

    close([*limited])
    while filling.room:
        kept = filling.kept
        wanted = [bool(tally.bits(one.item_id) & kept) for one in candidates] if kept else True
        fitting = left & np.array(wanted, bool)
        if not fitting.any():
            return
        probabilities = lottery.probabilities(fitting)
        place = draw(probabilities, lots.random())
        card = candidates[place]
        propensities[card.item_id] = float(probabilities[place])
        left[place] = False
        yield card
        close(tally.limits(card.item_id))
