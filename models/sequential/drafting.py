"""Two orders on one page.

Team-draft interleaving (Radlinski, Kurup and Joachims, "How Does Clickthrough Data Reflect Retrieval Quality?", CIKM
2008). It finds a better order with far fewer users than two arms do, and says nothing about how much better it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


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
