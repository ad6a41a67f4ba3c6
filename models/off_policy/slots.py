"""Pages as draws of one card after the other: what another policy would have put into a slot below the same cards.

A card's propensity is its probability given the cards above it. There are two ways to judge another policy by a page:

- *the product* of a card's ratio and of those above it (McInerney et al., 2020, "Counterfactual evaluation of slate
  recommendations with sequential reward interactions"): exact where cards below do not matter. Weights fall or grow
  from slot to slot: of a policy that agrees in half of the slots, one page in 1,024 tells something of the tenth.
- *the slot alone*: what the policy is worth in each slot below the cards that were served (the surrogate of Kakade
  and Langford, 2002). It is exact in the first slot; further down it leaves out that the policy would have put other
  cards above, too. The size of the sample does not fall from slot to slot.

The Evaluator uses the slot alone, which tells something after thousands of pages rather than millions.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def probabilities(scores: Floats, shown: Ints, temperature: float) -> Iterator[Floats]:
    """Of each candidate in each slot, given the cards that were served above: draws without replacement.

    Plackett and Luce: a candidate is drawn by the exponential of its score over the temperature, among those left.

    Args:
        scores: [num_pages, num_candidates], -inf: no candidate.
        shown: [num_pages, num_slots] columns of `scores` that were served, from the top; -1: none of them.
        temperature: 0: the best of those left, or one of several that are.

    Yields:
        A slot: [num_pages, num_candidates], rows sum to 1; 0 everywhere where no candidate is left.
    """
    left = np.array(scores, np.float64)
    rows = np.arange(len(left))
    for column in shown.T:
        best = left.max(axis=1, keepdims=True)
        there = np.isfinite(left)
        with np.errstate(invalid="ignore"):
            gap = np.where(there, left - best, -np.inf)
        mass = np.exp(gap / temperature) if temperature else (gap == 0).astype(np.float64)
        total = mass.sum(axis=1, keepdims=True)
        yield np.divide(mass, total, out=np.zeros_like(mass), where=total > 0)
        served = column >= 0
        left[rows[served], column[served]] = -np.inf


def of_shown(probability: Floats, column: Ints) -> Floats:
    """[num_pages]: of the cards that were served in a slot; 0 for one that is no candidate."""
    return np.where(column >= 0, probability[np.arange(len(column)), np.maximum(column, 0)], 0.0)


def products(ratios: Floats) -> Floats:
    """[num_pages, num_slots] weights by the product, from each slot's own ratio.

    >>> products(np.array([[2.0, 0.5, 3.0]])).tolist()
    [[2.0, 1.0, 3.0]]
    """
    return np.cumprod(ratios, axis=1)
