"""More variety in a list, with a bound on the relevance that it gives up.

What a list promises is the DCG of its first ten cards, in expectation over what its reader chooses next. An item's
chance is its share of the softmax of the list's scores, which are log-odds, and to a tenth that of its place; where
nothing scored the list, that of its place alone, which falls with the square root. A card that moves up pushes others
down: what that costs, as a share of the list's expected DCG, is weighed against the variety that it adds, and ends at
`max_loss`. Cards behind the tenth cost nothing by that measure: each is one of the `reach` best that are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pydantic
from pydantic import Field

Vectors = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.floating[Any]]

DEPTH = 10  # As NDCG@10 counts.
PLACE_SHARE = 0.1  # However steep the scores are, no chance is nothing.
WORTH = 0.6  # Variety, in cosines, that the whole of the allowed loss is given for; measured on two data sets.
JITTER = 1e-6  # Two equal items have no volume.
ROUNDING = 1e-12


class Diversity(pydantic.BaseModel):
    """How much variety the main row of a page is to have.

    Attributes:
        method: `mmr` is marginal relevance (Carbonell and Goldstein 1998) with the mean likeness to the cards above
            in place of the greatest, since that is what a list's distance is made of; `dpp` the greedy MAP of a
            determinantal point process (Chen, Zhang and Zhou 2018), which looks at all cards above together.
        max_loss: share of the expected DCG@10 that a list may lose; 0: none, and only what nothing tells apart moves.
        reach: a card behind the tenth is one of so many that are the best left.
        serendipity: how much more a card counts that is outside of all that its reader took so far, in cosines
            of variety.
        pool: the first of the list, from which cards are chosen.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    method: Literal["mmr", "dpp"] = "mmr"
    max_loss: Annotated[float, Field(ge=0, le=1)] = 0.01
    reach: Annotated[int, Field(ge=1, le=200)] = DEPTH
    serendipity: Annotated[float, Field(ge=0, le=10)] = 0.0
    pool: Annotated[int, Field(ge=2, le=200)] = 100


def diversify(
    vectors: Vectors,
    scores: Sequence[float] | Floats | None,
    k: int,
    how: Diversity,
    unexpected: Sequence[float] | None = None,
) -> list[int]:
    """The places of a list's first `k` cards in their new order, then those of the others in their old one.

    Args:
        vectors: [num_items, width] of the list, best first: of length 1 or, where nothing is known, 0.
        scores: [num_items] log-odds, falling; None: the list has none.
        k: cards that are seen.
        how: see there.
        unexpected: [num_items] how far each is outside of its reader's interests, 0 … 1; None: nothing is known.

    >>> like = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> diversify(like, None, 3, Diversity(max_loss=0.0)), diversify(like, None, 3, Diversity(max_loss=0.1))
    ([0, 1, 2, 3], [0, 3, 1, 2])
    """
    size = min(len(vectors), how.pool)
    k = min(k, size)
    pool = np.asarray(vectors[:size], np.float32)
    bound = _Bound(chances(size, scores), how)
    variety: _Variety = _Volume(pool, k) if how.method == "dpp" else _Distance(pool)
    bonus = 0.0 if unexpected is None else how.serendipity * np.asarray(unexpected[:size], np.float64)
    chosen: list[int] = []
    while len(chosen) < k:
        best = bound.best(variety.gains() + bonus)
        variety.take(best)
        chosen.append(best)
    rest = np.ones(len(vectors), bool)
    rest[chosen] = False
    return [*chosen, *np.flatnonzero(rest).tolist()]


def chances(size: int, scores: Sequence[float] | Floats | None = None) -> Floats:
    """[size] how likely each of a list's items is chosen next; they add up to 1."""
    by_place = np.arange(1.0, size + 1) ** -0.5
    by_place /= by_place.sum()
    if scores is None:
        return by_place
    odds = np.asarray(scores[:size], np.float64)
    by_score = np.exp(odds - odds.max(initial=-np.inf))
    return PLACE_SHARE * by_place + (1 - PLACE_SHARE) * by_score / by_score.sum()


def expected_loss(order: Sequence[int], chance: Floats) -> float:
    """Share of the expected DCG@10 that an order of places loses.

    >>> round(expected_loss([1, 0], np.array([0.6, 0.4])), 4)  # 1 - (0.4 + 0.6 / log2(3)) / (0.6 + 0.4 / log2(3))
    0.0866
    """
    discounts = _discounts(len(chance))
    return float(1 - chance[list(order)[:DEPTH]] @ discounts[: min(len(order), DEPTH)] / (chance @ discounts))


def intra_list_distance(vectors: Vectors) -> float:
    """Mean of `1 - cosine` over the pairs of a list; 0 without a pair.

    >>> round(intra_list_distance(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])), 4)  # Of 1, 0 and 1.
    0.6667
    """
    count = len(vectors)
    if count < 2:
        return 0.0
    total = np.asarray(vectors, np.float64).sum(axis=0)
    return float(1 - (total @ total - (vectors * vectors).sum()) / (count * (count - 1)))


class _Bound:
    """What it costs to take each card next, and whether that can still be borne.

    The others go on in the order of relevance. To take the one at place m of those that are left pushes the m above
    one step down each; what they lose, less what it gains, is lost for good, so that costs add up to the whole loss:
    `Σ_{t ≤ m} discount_t · (chance_t - chance_{t-1}) - discount_0 · chance_m`.
    """

    def __init__(self, chance: Floats, how: Diversity):
        self._reach, max_loss = how.reach, how.max_loss
        self._discounts = _discounts(len(chance))
        self._chance = np.append(0.0, chance / max(float(chance @ self._discounts), ROUNDING))
        self._left = np.arange(len(chance))
        self._price, self._budget = (WORTH + how.serendipity) / max(max_loss, ROUNDING), max_loss + ROUNDING

    def best(self, gains: Floats) -> int:
        """Takes the card with the greatest gain, its cost taken off.

        Args:
            gains: [num_items] the variety that each card adds.
        """
        worth = gains[self._left]
        at = self._affordable(worth) if self._discounts[0] else int(worth[: self._reach].argmax())
        best = int(self._left[at])
        self._left = np.concatenate((self._left[:at], self._left[at + 1 :]))
        return best

    def _affordable(self, worth: Floats) -> int:
        chance = self._chance
        cost = np.cumsum(self._discounts * (chance[1:] - chance[:-1])) - self._discounts[0] * chance[1:]
        worth -= self._price * cost
        worth[cost > self._budget] = -np.inf  # Never the first, which costs nothing.
        at = int(worth.argmax())
        self._budget -= float(cost[at])
        self._chance = np.concatenate((chance[: at + 1], chance[at + 2 :]))
        self._discounts = self._discounts[1:]
        return at


class _Variety(Protocol):
    """What cards add to those that were taken."""

    def gains(self) -> Floats:
        """[num_items], in cosines."""

    def take(self, place: int) -> None:
        """A card was taken."""


class _Distance:
    """Mean distance to what was taken."""

    def __init__(self, vectors: Floats):
        self._vectors = vectors
        self._sum, self._taken = np.zeros(len(vectors)), 0

    def gains(self) -> Floats:
        return self._sum / -max(self._taken, 1)

    def take(self, place: int) -> None:
        self._sum += self._vectors @ self._vectors[place]
        self._taken += 1


class _Volume:
    """Logarithm of the volume that a card adds."""

    def __init__(self, vectors: Floats, k: int):
        self._kernel = (1 + vectors @ vectors.T) / 2
        self._volume = self._kernel.diagonal() + JITTER
        self._rows, self._taken = np.zeros((k, len(vectors))), 0

    def gains(self) -> Floats:
        return np.log(self._volume) / 2

    def take(self, place: int) -> None:
        rows = self._rows[: self._taken]
        row = (self._kernel[place] - rows[:, place] @ rows) / self._volume[place] ** 0.5
        self._rows[self._taken] = row
        self._taken += 1
        self._volume = np.maximum(self._volume - row * row, JITTER)


def _discounts(count: int) -> Floats:
    discounts = np.zeros(count)
    discounts[:DEPTH] = 1 / np.log2(np.arange(2.0, min(count, DEPTH) + 2))
    return discounts
