"""Distances between two distributions, and how sure the figures are from which they are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = Mapping[Any, int]
KS_MEAN, KS_CRITICAL = 0.8687, 1.9495  # Of Kolmogorov's distribution: its mean, and what one in 1,000 exceeds.
NUM_PARTINGS = 20


def jensen_shannon(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> float:
    """Jensen-Shannon divergence in bits, 0 (the same) to 1 (nothing in common).

    Args:
        before: [num_values] counts.
        after: [num_values] counts of the same values.

    Half of one's mass is where the other has none:

    >>> jensen_shannon(np.array([1, 1, 0]), np.array([1, 0, 1]))
    0.5
    """
    p, q = before / before.sum(), after / after.sum()
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log2(p / middle), 0) + np.where(q > 0, q * np.log2(q / middle), 0)
    return float(terms.sum() / 2)


def jensen_shannon_by_chance(before: npt.NDArray[np.int64], after: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Mean and standard deviation of the divergence over random re-partings of both samples together.

    Args:
        before: [num_values] counts.
        after: [num_values] counts of the same values, in an order that does not depend on the order of the rows.
    """
    rng = np.random.default_rng(0)
    together = before + after
    part_of_before = before.sum() / together.sum()
    divergences = []
    for _ in range(NUM_PARTINGS):
        part = rng.binomial(together, part_of_before)
        divergences.append(jensen_shannon(part, together - part))
    return float(np.mean(divergences)), float(np.std(divergences))


def kolmogorov_smirnov(before: Counts, after: Counts) -> tuple[float, Any]:
    """The largest gap between two cumulative distributions, and the value where it is."""
    values = sorted(before.keys() | after.keys())
    p, q = (np.cumsum([float(side.get(value, 0)) for value in values]) for side in (before, after))
    gaps = np.abs(p / p[-1] - q / q[-1])
    return float(gaps.max()), values[int(gaps.argmax())]


def unseen_mass(counts: Counts) -> float:
    """Good and Turing's estimate of the share of values not seen yet: those seen once (Good, 1953).

    >>> unseen_mass({"a": 7, "b": 2, "c": 1})
    0.1
    """
    return sum(count == 1 for count in counts.values()) / sum(counts.values())


def share(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> tuple[float, float]:
    """A share, and its standard error by random groups or, if that is larger, the binomial's.

    Args:
        part: [num_groups] counts.
        whole: [num_groups] counts.
    """
    total = int(whole.sum())
    share = part.sum() / total
    binomial = share * (1 - share) / total
    present = whole > 0
    num_groups = int(present.sum())
    if num_groups < 2:
        return float(share), math.sqrt(binomial)
    residuals = part[present] - share * whole[present]
    grouped = float(np.sum(residuals**2)) * num_groups / (num_groups - 1) / total**2
    return float(share), math.sqrt(max(binomial, grouped, 0.25 / total**2))


def design_effect(sums: npt.NDArray[np.float64]) -> float:
    """How many values of a number, given by the same users, say as much as one of a user of its own.

    Args:
        sums: [3, num_groups] of each group of users: how many values, their sum, the sum of their squares.
    """
    counts, sums_of_values, squares = sums
    total = counts.sum()
    mean = sums_of_values.sum() / total
    variance = squares.sum() / total - mean**2
    present = counts > 0
    num_groups = int(present.sum())
    if num_groups < 2 or variance <= 0:
        return 1.0
    residuals = sums_of_values[present] - mean * counts[present]
    grouped = np.sum(residuals**2) * num_groups / (num_groups - 1) / total**2
    return max(1.0, float(grouped / (variance / total)))


def ks_gap(before: float, after: float) -> float:
    """The unit in which Kolmogorov's distribution measures gaps between samples of these sizes."""
    return math.sqrt(1 / before + 1 / after)
