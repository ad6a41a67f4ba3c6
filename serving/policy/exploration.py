"""Chance in the first row of a page, whose probabilities are known: what is learnt from its cards can be weighted.

Each place is drawn from the candidates that rules leave there with the cards above. With the probability `epsilon`
any of the new and the uncertain ones comes, each alike; else one by the method, `temperature` being how strong its
noise is:

- `greedy`: the first that is left;
- `plackett_luce`: in proportion to `chance ** (1 / temperature)`, the chances being those that diversity reckons with
  (Luce 1959, Plackett 1975). The same order comes of Gumbel noise on their logarithms;
- `thompson`: the one whose log-odds, drawn from a normal with its mean and deviation, are the greatest of those left
  (Thompson 1933). The probability of that is an integral over one line, whatever number of candidates there is.

What is drawn is always drawn from the probabilities themselves, so that they hold exactly.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pydantic
from pydantic import Field

from homefeed.serving.policy.diversity import chances

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NODES = 64  # Of the integral, whose error falls exponentially once no normal is narrower than a step.
REACH = 6.0  # Deviations beyond which a normal counts as 0.
LEAST_DEVIATION = 1e-3
LOWEST, STEP = -12.0, 1e-3  # Of the table of log Φ.


class Exploration(pydantic.BaseModel):
    """How much of the first row is left to chance.

    Attributes:
        method: see above; `thompson` is `plackett_luce` where no model tells how sure it is.
        temperature: how strongly chance acts; 1: as much as the chances, or the deviations, say.
        epsilon: probability that a place is for a new or an uncertain item.
        floor: the least probability of each candidate that is left.
        pool: the first of the list, from which cards are drawn.
        fresh: so many of the newest items, and of the most uncertain of the pool, are what `epsilon` is for; where
            there are neither, the whole pool.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    method: Literal["greedy", "plackett_luce", "thompson"] = "thompson"
    temperature: Annotated[float, Field(ge=0.001, le=100)] = 0.25
    epsilon: Annotated[float, Field(ge=0, le=1)] = 0.05
    floor: Annotated[float, Field(ge=0, le=0.01)] = 0.0
    pool: Annotated[int, Field(ge=2, le=200)] = 32
    fresh: Annotated[int, Field(ge=1, le=100)] = 10


class Lottery:
    """The probabilities of a row's candidates, place by place.

    Args:
        how: see there.
        size: of the list.
        scores: [size] log-odds, falling; None: the list has none.
        deviations: [size] of the log-odds; None: they are not known.
        new: places in the list of items that are new; those from `size` on are no part of the list.
        num_cards: that are drawn, at most.
    """

    def __init__(
        self,
        how: Exploration,
        size: int,
        scores: Sequence[float] | Floats | None,
        deviations: Sequence[float] | Floats | None,
        new: Sequence[int],
        num_cards: int,
    ):
        self._how, self._size = how, size
        self.count = max(size, 1 + max(new, default=-1))
        self._fresh = np.zeros(self.count, bool)
        self._fresh[list(new)] = True
        if deviations is not None:
            self._fresh[np.argsort(-np.asarray(deviations), kind="stable")[: how.fresh]] = True
        if not self._fresh.any():
            self._fresh[:] = True
        self._method: _Method
        if how.method == "greedy":
            self._method = _Greedy()
        elif how.method == "thompson" and scores is not None and deviations is not None and size:
            means, noise = np.asarray(scores, np.float64), how.temperature * np.asarray(deviations, np.float64)
            self._method = _Thompson(means, noise, num_cards)
        else:
            self._method = _PlackettLuce(np.log(chances(size, scores)) / how.temperature)

    def probabilities(self, left: Mask) -> Floats:
        """[count] of each candidate to be the next card; they add up to 1.

        Args:
            left: [count] which ones may be, at least one; no other than were left before.
        """
        found, epsilon = np.zeros(self.count), 1.0
        if left[: self._size].any():
            found[: self._size] = self._method.probabilities(left[: self._size])
            epsilon = self._how.epsilon
        fresh = left & self._fresh
        if epsilon and (count := np.count_nonzero(fresh)):
            found = (1 - epsilon) * found + (epsilon / count) * fresh
        if self._how.floor:
            count = np.count_nonzero(left)
            floor = min(self._how.floor, 1 / count)
            found = left * (floor + (1 - floor * count) * found)
        return found / found.sum()


def draw(probabilities: Floats, chance: float) -> int:
    """The place that a number between 0 and 1, the latter not included, stands for.

    >>> [draw(np.array([0.25, 0.0, 0.75]), chance) for chance in (0.0, 0.24, 0.25, 0.99)]
    [0, 0, 2, 2]
    """
    reached = np.cumsum(probabilities)
    return int(np.searchsorted(reached, chance * reached[-1], side="right"))


class _Method(Protocol):
    """How a card is chosen from a list."""

    def probabilities(self, left: Mask) -> Floats:
        """[size], of those that are left."""


class _Greedy:
    """The first that is left."""

    def probabilities(self, left: Mask) -> Floats:
        found = np.zeros(len(left))
        found[left.argmax()] = 1.0
        return found


class _PlackettLuce:
    """In proportion to weights, of which the logarithms are given."""

    def __init__(self, logs: Floats):
        self._logs = logs

    def probabilities(self, left: Mask) -> Floats:
        logs = np.where(left, self._logs, -np.inf)
        weights: Floats = np.exp(logs - logs.max())
        return weights / weights.sum()


class _Thompson:
    """P(i is the greatest of those left) = ∫ φ_i(x) Π Φ_j(x) dx over the others j, for independent normals.

    With r_i = φ_i / Φ_i that is ∫ r_i(x) exp(Σ log Φ_j(x)) dx over all j that are left: the tables of r and log Φ are
    made once, and each place costs two products of a matrix and a vector.
    """

    def __init__(self, means: Floats, deviations: Floats, num_cards: int):
        self._means, self._deviations = means, np.maximum(deviations, LEAST_DEVIATION)
        self._num_cards, self._lows = num_cards, means - REACH * self._deviations
        self._cover(np.ones(len(means), bool))

    def probabilities(self, left: Mask) -> Floats:
        if self._lows[left].max() < self._low:  # Rules closed what stood above.
            self._cover(left)
        below = left.astype(np.float64) @ self._below
        found: Floats = (self._rates @ np.exp(below - below.max())) * left
        return found / found.sum()

    def _cover(self, left: Mask) -> None:
        """Makes the tables for what is left: whichever cards are gone, the next is decided above the lowest node."""
        lows = np.sort(self._lows[left])[::-1]
        self._low = lows[min(len(lows), self._num_cards) - 1]
        high = (self._means + REACH * self._deviations)[left].max()
        step = (high - self._low) / (NODES - 1)
        narrow = np.maximum(self._deviations, step)
        z = (self._low + step * np.arange(NODES) - self._means[:, None]) / narrow[:, None]
        table = _normal()
        at = ((z - LOWEST) / STEP).clip(0, len(table) - 2)
        node = at.astype(np.intp)
        found = table.take(node)
        found += (table.take(node + 1) - found) * (at - node)
        self._below, self._rates = found.real.copy(), found.imag / narrow[:, None]


@functools.cache
def _normal() -> npt.NDArray[np.complex128]:
    """[num_points] of the normal distribution, from `LOWEST` on: log Φ, and as imaginary parts φ / Φ."""
    points = np.arange(LOWEST, -LOWEST, STEP)
    below = np.array([math.log(math.erfc(-point * 0.5**0.5) / 2) for point in points.tolist()])
    return below + 1j * np.exp(-points * points / 2 - below) / (2 * math.pi) ** 0.5
