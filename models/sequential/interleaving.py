"""Which of two interleaved orders do readers take their cards from? See `drafting`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.stats

from homefeed.models.sequential.counts import p_value

SIGNS_CONCENTRATION = 2.0  # Any preference is as likely as another one before anything is known.


class Preference(NamedTuple):
    """Whose cards users take.

    Attributes:
        first, second: users who took more of the cards of one and of the other.
        ties: who took as many of both, or none.
        preference: share of users who prefer the second, ties being half, less one half; above 0 the second is better
            (Chapelle, Joachims, Radlinski and Yue, TOIS 2012, equation 1).
        sign_test: p of the exact sign test, if one looks once.
        p_value: p that holds whenever one looks.
    """

    first: int
    second: int
    ties: int
    preference: float
    sign_test: float
    p_value: float


def preference(taken: npt.ArrayLike) -> Preference:
    """The preference of users.

    Args:
        taken: [num_users, 2] cards of either list that each of them took.

    >>> preference([[0, 3], [1, 2], [4, 1], [1, 1]])[:4]
    (1, 2, 1, 0.125)
    """
    cards = np.asarray(taken, np.float64).reshape(-1, 2)
    ahead = cards[:, 1] - cards[:, 0]
    first, second = int((ahead < 0).sum()), int((ahead > 0).sum())
    ties = len(ahead) - first - second
    if not first + second:
        return Preference(0, 0, ties, 0.0, 1.0, 1.0)
    sign_test = float(scipy.stats.binomtest(second, first + second).pvalue)
    anytime = p_value([first, second], [1, 1], SIGNS_CONCENTRATION)
    return Preference(first, second, ties, (second + ties / 2) / len(ahead) - 0.5, sign_test, anytime)
