"""Shapley values of a few parts: the reference that cheaper ways to say what counts are held against."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

MAX_PARTS = 8  # 256 coalitions.

Coalition = frozenset[int]


def coalitions(num_parts: int) -> list[Coalition]:
    """All sets of parts, 2 ** num_parts.

    Raises:
        ValueError: more than MAX_PARTS.
    """
    if num_parts > MAX_PARTS:
        raise ValueError(f"{num_parts} parts have {2**num_parts} coalitions; expected at most {MAX_PARTS} parts")
    return [frozenset(n for n in range(num_parts) if bits >> n & 1) for bits in range(1 << num_parts)]


def shapley(values: Mapping[Coalition, float], num_parts: int) -> Sequence[float]:
    """What each part adds, on average over the orders in which they may come.

    Args:
        values: of each of the `coalitions`.
        num_parts: how many there are.

    >>> pay = {frozenset(): 0.0, frozenset({0}): 1.0, frozenset({1}): 2.0, frozenset({0, 1}): 5.0}
    >>> shapley(pay, 2)
    [2.0, 3.0]
    """
    weights = [
        math.factorial(size) * math.factorial(num_parts - size - 1) / math.factorial(num_parts)
        for size in range(num_parts)
    ]
    return [
        sum(weights[len(had)] * (values[had | {part}] - value) for had, value in values.items() if part not in had)
        for part in range(num_parts)
    ]
