"""Two orders on one page: which of them do readers take their cards from?

Team-draft interleaving (Radlinski, Kurup and Joachims, "How Does Clickthrough Data Reflect Retrieval Quality?", CIKM
2008). It finds a better order with far fewer users than two arms do, and says nothing about how much better it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.stats

from homefeed.models.sequential.counts import p_value

SIGNS_CONCENTRATION = 2.0  # Any preference is as likely as another one before anything is known.


def team_draft(lists: Sequence[Sequence[str]], first: Callable[[], int], length: int) -> list[tuple[str, int]]:
    """Items of two lists, each with the list that chose it: in each round both choose the best that is left.

    Args:
        lists: two, best first.
        first: 0 or 1 by chance: who chooses first in a round.
        length: of what is made, at most.

    >>> team_draft([["a", "b", "c"], ["b", "d", "a"]], lambda: 1, 4)
    [('b', 1), ('a', 0), ('d', 1), ('c', 0)]
    """
    drafted: dict[str, int] = {}
    left = [iter(one) for one in lists]
    while len(drafted) < length:
        before, leader = len(drafted), first()
        for team in (leader, 1 - leader):
            item = next((one for one in left[team] if one not in drafted), None)
            if item is not None and len(drafted) < length:
                drafted[item] = team
        if len(drafted) == before:
            break
    return list(drafted.items())


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
