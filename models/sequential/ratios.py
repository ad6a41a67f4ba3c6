"""Ratios of sums over users, such as clicks by cards seen, and how far two arms differ in them.

Cards of one user are alike, so the unit is the user, never the card: a ratio's variance is that of its linear part,
the delta method (Deng, Knoblich and Lu, "Applying the Delta Method in Metric Analytics", KDD 2018).
What users did before the experiment explains part of it (CUPED: Deng, Xu, Kohavi and Walker, "Improving the
Sensitivity of Online Controlled Experiments by Utilizing Pre-Experiment Data", WSDM 2013); users without a past, and
arms without any, cost nothing.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
COLUMNS = 4  # Numerator and denominator, and the same of before the experiment.


@dataclasses.dataclass(frozen=True)
class Sums:
    """What is known of an arm: sums over its users.

    Attributes:
        count: users.
        total: [4] sum of each column: numerator, denominator, and the same two of before the experiment.
        product: [4, 4] sum of the products of each two.
    """

    count: int = 0
    total: Floats = dataclasses.field(default_factory=lambda: np.zeros(COLUMNS))
    product: Floats = dataclasses.field(default_factory=lambda: np.zeros((COLUMNS, COLUMNS)))

    @staticmethod
    def of(columns: npt.ArrayLike) -> Sums:
        """Of all users at once.

        Args:
            columns: [num_users, 4], or [num_users, 2] where nothing is known of before.
        """
        rows = np.asarray(columns, np.float64)
        rows = np.pad(rows, ((0, 0), (0, COLUMNS - rows.shape[1])))
        return Sums(len(rows), rows.sum(axis=0), rows.T @ rows)

    @property
    def covariance(self) -> Floats:
        """[4, 4] unbiased covariance of the columns; zeros of fewer than two users."""
        if self.count < 2:
            return np.zeros((COLUMNS, COLUMNS))
        mean = self.total / self.count
        found: Floats = (self.product - self.count * np.outer(mean, mean)) / (self.count - 1)
        return found

    @property
    def ratio(self) -> float:
        """Sum of numerators by sum of denominators; 0 where there is none."""
        return float(self.total[0] / self.total[1]) if self.total[1] else 0.0

    @property
    def earlier_ratio(self) -> float:
        """The same of before the experiment."""
        return float(self.total[2] / self.total[3]) if self.total[3] else 0.0

    def variances(self) -> tuple[float, float, float]:
        """Of the ratio, of the earlier ratio, and their covariance, each of one user: divide by `count`."""
        gradient = np.zeros((2, COLUMNS))
        for row, ratio, at in ((0, self.ratio, 0), (1, self.earlier_ratio, 2)):
            if self.total[at + 1]:
                mean = self.total[at + 1] / self.count
                gradient[row, at : at + 2] = 1 / mean, -ratio / mean
        found = gradient @ self.covariance @ gradient.T
        return float(found[0, 0]), float(found[1, 1]), float(found[0, 1])


class Effect(NamedTuple):
    """How far a ratio of one arm is from another's.

    Attributes:
        control, treatment: the ratios.
        difference: treatment less control, without what their past explains.
        variance: of the difference.
        num_users: users of both.
        saved: share of the variance that the past took away, 0 to 1.
    """

    control: float
    treatment: float
    difference: float
    variance: float
    num_users: int
    saved: float = 0.0


def effect(control: Sums, treatment: Sums) -> Effect:
    """The difference of two arms, by the delta method with CUPED.

    The past's weight is the one that makes the variance least, `cov / var` of both arms together.

    >>> one = Sums.of([[1, 10], [3, 10], [2, 10]])
    >>> other = Sums.of([[4, 10], [6, 10], [5, 10]])
    >>> found = effect(one, other)
    >>> round(found.control, 3), round(found.treatment, 3), round(found.difference, 3), round(found.variance, 6)
    (0.2, 0.5, 0.3, 0.006667)
    """
    arms = (control, treatment)
    parts = [np.array(arm.variances()) / max(arm.count, 1) for arm in arms]
    plain, earlier, both = np.sum(parts, axis=0)
    weight = both / earlier if earlier > 0 else 0.0
    difference = treatment.ratio - control.ratio - weight * (treatment.earlier_ratio - control.earlier_ratio)
    variance = max(plain - weight * both, 0.0)
    return Effect(
        control.ratio,
        treatment.ratio,
        float(difference),
        float(variance),
        control.count + treatment.count,
        float(1 - variance / plain) if plain > 0 else 0.0,
    )
