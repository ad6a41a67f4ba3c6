"""Intervals that hold at all times together: an experiment may be looked at, and stopped, whenever one likes.

Asymptotic confidence sequences of Robbins' normal mixture (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas,
"Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 2024, equations 9, 155
and 161). They are asymptotic: with fewer than MIN_USERS users nothing is said.
"""

from __future__ import annotations

import math

ALPHA = 0.05
MIN_USERS = 200
"""Of both arms together; before, the variances are not known well enough."""


def mixture(count: int, planned: int, alpha: float = ALPHA) -> float:
    """How far the mixture is spread, in units of the variance after `count` users: t ρ² of the paper.

    Args:
        count: users now.
        planned: users at which the interval is to be as narrow as it can be.
        alpha: probability that the truth is outside at any time.
    """
    least = -2 * math.log(alpha)
    return count / planned * (least + math.log(least + 1))


def half_width(variance: float, count: int, planned: int, alpha: float = ALPHA) -> float:
    """Half the width of the interval around an estimate; infinite with fewer than MIN_USERS users.

    Args:
        variance: of the estimate, now.
        count, planned, alpha: see `mixture`.

    >>> round(half_width(1.0, 5_000, 5_000), 3)  # A fixed test's is 1.96.
    3.035
    """
    if count < MIN_USERS:
        return math.inf
    spread = mixture(count, planned, alpha)
    return math.sqrt(variance * 2 * (spread + 1) / spread * math.log(math.sqrt(spread + 1) / alpha))


def p_value(estimate: float, variance: float, count: int, planned: int, alpha: float = ALPHA) -> float:
    """The least alpha at which 0 would be outside; it holds at all times together.

    Args:
        estimate: of the difference.
        variance: of the estimate, now.
        count, planned, alpha: see `mixture`.
    """
    if count < MIN_USERS or variance <= 0:
        return 1.0
    spread = mixture(count, planned, alpha)
    evidence = estimate**2 / variance * spread / (2 * (spread + 1)) - math.log(spread + 1) / 2
    return math.exp(min(0.0, -evidence))
