"""Estimates of what a policy is worth from what came of cards that another policy drew, with clustered intervals.

Rows are cards that were drawn: each has a reward, a weight (the probability under the policy that is judged, over the
propensity under which it was served) and a user. Rows of one user hang together, so that the user is the unit of the
95% intervals (Liang and Zeger, 1986, with Student's quantiles).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.stats

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a policy is worth, a card.

    Attributes:
        value: in the unit of the rewards.
        influence: [num_users] float64, in the order of their ids: how far each user moves the value.
        effective_sample_size: as many rows without weights tell as much (Kish, 1965); 0: no weight at all.
        mean_weight: before clipping; 1 where all that the policy may show could have been served, less where not.
        clipped: share of the rows whose weight was cut.
    """

    value: float
    influence: Floats
    effective_sample_size: float
    mean_weight: float
    clipped: float

    @property
    def interval(self) -> tuple[float, float]:
        """Of 95%; without end for less than two users."""
        num_users = len(self.influence)
        if num_users < 2 or math.isnan(self.value):
            return -math.inf, math.inf
        deviation = math.sqrt(num_users * self.influence.var(ddof=1))
        half = scipy.stats.t.ppf((1 + CONFIDENCE) / 2, num_users - 1) * deviation
        return self.value - half, self.value + half

    def less(self, other: Estimate) -> Estimate:
        """The difference of two estimates from the same rows."""
        return dataclasses.replace(self, value=self.value - other.value, influence=self.influence - other.influence)


def on_policy(rewards: npt.ArrayLike, users: npt.ArrayLike) -> Estimate:
    """What the policy that served was worth: the mean of [num_rows] rewards."""
    return ips(rewards, np.ones(np.shape(rewards)), users)


def ips(
    rewards: npt.ArrayLike, weights: npt.ArrayLike, users: npt.ArrayLike, max_weight: float = math.inf
) -> Estimate:
    """Inverse propensity scoring (Horvitz and Thompson, 1952): the mean of weight × reward.

    Args:
        rewards: [num_rows] floats.
        weights: [num_rows] floats, at least 0.
        users: [num_rows] anything that can be sorted.
        max_weight: larger weights are cut to it, which takes from the value and from its variance (Ionides, 2008).

    Raises:
        ValueError: no rows, lengths that differ, a weight that is negative or not finite.

    Example:
        >>> ips([1, 0, 1], [0.5, 2.0, 1.0], ["a", "a", "b"]).value
        0.5
    """
    given = _Weighted.of(rewards, weights, users, max_weight)
    gains = given.weights * given.rewards
    value = float(gains.mean())
    return given.estimate(value, (gains - value) / len(gains))


def snips(
    rewards: npt.ArrayLike, weights: npt.ArrayLike, users: npt.ArrayLike, max_weight: float = math.inf
) -> Estimate:
    """Self-normalised IPS (Swaminathan and Joachims, 2015): the mean of rewards with these weights.

    It stays between the least and the greatest reward, and is consistent; NaN where no row has a weight. Arguments
    and errors are those of `ips`.

    Example:
        >>> round(snips([1, 0, 1], [0.5, 2.0, 1.0], ["a", "a", "b"]).value, 4)
        0.4286
    """
    given = _Weighted.of(rewards, weights, users, max_weight)
    return given.estimate(*given.weighted_mean(given.rewards))


def doubly_robust(
    rewards: npt.ArrayLike,
    weights: npt.ArrayLike,
    users: npt.ArrayLike,
    predicted: npt.ArrayLike,
    predicted_of_policy: npt.ArrayLike,
    max_weight: float = math.inf,
) -> Estimate:
    """Doubly robust (Dudík, Langford and Li, 2011), self-normalised (Thomas and Brunskill, 2016).

    What a model predicts of the policy, and the weighted mean of how far the model is off: right if either the
    propensities or the model are. The model must not have learnt from the rows that it predicts (`cross_fitted`).

    Args:
        rewards, weights, users, max_weight: of `ips`.
        predicted: [num_rows] floats, of the card that was drawn.
        predicted_of_policy: [num_rows] floats, the mean over the cards that could be drawn, by their probabilities
            under the policy that is judged.

    Raises:
        ValueError: as `ips` does.
    """
    given = _Weighted.of(rewards, weights, users, max_weight)
    base = np.asarray(predicted_of_policy, np.float64)
    residual = given.rewards - np.asarray(predicted, np.float64)
    if not len(base) == len(residual):
        raise ValueError(f"{len(base)} predictions of the policy for {len(residual)} rows; expected as many")
    off, influence = given.weighted_mean(residual)
    value = float(base.mean())
    return given.estimate(value + off, influence + (base - value) / len(base))


def cross_fitted(
    groups: npt.NDArray[np.int64], rewards: Floats, users: npt.NDArray[Any], num_groups: int, prior: float = 10.0
) -> tuple[Floats, Floats]:
    """Mean reward of groups of rows, each from the other half of the users.

    Args:
        groups: [num_rows] the group of each row.
        rewards: [num_rows].
        users: [num_rows].
        num_groups: so many are there.
        prior: rows of the overall mean that each group's mean starts with.

    Returns:
        [2, num_groups] means, and [num_rows] int64 which of the two is for a row.
    """
    half = np.unique(users, return_inverse=True)[1].reshape(-1) % 2
    means = []
    for which in (0, 1):
        others = half != which
        sums = np.bincount(groups[others], rewards[others], num_groups)
        counts = np.bincount(groups[others], minlength=num_groups)
        overall = rewards[others].mean() if others.any() else rewards.mean()
        means.append((sums + prior * overall) / (counts + prior))
    return np.stack(means), half.astype(np.int64)


def relative_error(rate: float, effective_sample_size: float) -> float:
    """Half the 95% interval of a rate, as a share of it; infinite where nothing is known.

    >>> round(relative_error(0.1, 13_800), 3)
    0.05
    """
    if not (rate > 0 and effective_sample_size > 0):
        return math.inf
    return scipy.stats.norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt(max(1 - rate, 0.0) / (rate * effective_sample_size))


def more_needed(rate: float, effective_sample_size: float, num_pages: int, margin: float) -> int | None:
    """Pages like these that are lacking for a relative error of `margin`; None: these tell nothing at all.

    >>> more_needed(0.1, effective_sample_size=3_450, num_pages=20_000, margin=0.05)
    60170
    """
    error = relative_error(rate, effective_sample_size)
    return None if math.isinf(error) else max(0, math.ceil(num_pages * ((error / margin) ** 2 - 1)))


@dataclasses.dataclass(frozen=True)
class _Weighted:
    rewards: Floats
    weights: Floats  # Clipped.
    user: npt.NDArray[np.int64]
    mean_weight: float
    clipped: float

    @classmethod
    def of(cls, rewards: npt.ArrayLike, weights: npt.ArrayLike, users: npt.ArrayLike, max_weight: float) -> _Weighted:
        reward, weight = np.asarray(rewards, np.float64), np.asarray(weights, np.float64)
        who = np.asarray(users)
        if not len(reward) or not len(reward) == len(weight) == len(who):
            raise ValueError(
                f"{len(reward)} rewards, {len(weight)} weights, {len(who)} users; expected as many of each, and some"
            )
        if not (np.isfinite(weight) & (weight >= 0)).all():
            raise ValueError("weights must be finite and at least 0: a propensity of 0 was never served")
        cut = np.minimum(weight, max_weight)
        user = np.unique(who, return_inverse=True)[1].reshape(-1).astype(np.int64)
        return cls(reward, cut, user, float(weight.mean()), float((weight > max_weight).mean()))

    def weighted_mean(self, values: Floats) -> tuple[float, Floats]:
        """Of [num_rows] values, and how far each row moves it."""
        total = self.weights.sum()
        if not total:
            return math.nan, np.zeros_like(values)
        mean = float(self.weights @ values / total)
        return mean, self.weights * (values - mean) / total

    def estimate(self, value: float, influence: Floats) -> Estimate:
        """From the influence of each row, [num_rows]."""
        squares = float(self.weights @ self.weights)
        size = float(self.weights.sum()) ** 2 / squares if squares else 0.0
        return Estimate(
            value, np.bincount(self.user, influence).astype(np.float64), size, self.mean_weight, self.clipped
        )
