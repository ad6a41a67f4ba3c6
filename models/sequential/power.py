"""How many users an experiment needs."""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

from homefeed.models.sequential.confidence import ALPHA, half_width

POWER = 0.8


class Needed(NamedTuple):
    """Users of all arms together.

    Attributes:
        fixed: if one looks once, at the end.
        sequential: if one looks whenever one likes.
    """

    fixed: int
    sequential: int


def needed(
    variances: tuple[float, float],
    difference: float,
    shares: tuple[float, float],
    power: float = POWER,
    alpha: float = ALPHA,
) -> Needed:
    """Users with whom a difference is found with a probability of at least `power`.

    Args:
        variances: of one user's part of the ratio, as of `Sums.variances`, in the control and in the other arm.
        difference: that is to be found, in units of the ratio.
        shares: of users who come to the control, and to the other arm.
        power: probability of finding it.
        alpha: probability of finding one that is not there.

    >>> needed((0.25, 0.25), 0.05, (0.5, 0.5))
    Needed(fixed=3140, sequential=6012)
    """
    a_user = variances[0] / shares[0] + variances[1] / shares[1]  # Variance of the difference, times all users.
    normal = statistics.NormalDist()
    found = normal.inv_cdf(power)
    # At the planned size the width in standard errors is the same whatever that size is.
    looks = {"fixed": normal.inv_cdf(1 - alpha / 2), "sequential": half_width(1.0, 10**6, 10**6, alpha)}
    users = {name: math.ceil(a_user * ((width + found) / difference) ** 2) for name, width in looks.items()}
    return Needed(**users)
