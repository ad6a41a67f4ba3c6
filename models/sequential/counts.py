"""Whether arms, or signs, come as often as they should, looked at whenever one likes.

A mixture of multinomials (Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 2022): the
likelihood of the counts under shares that were drawn from a Dirichlet distribution around those expected, by their
likelihood under the expected ones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.special

Floats = npt.NDArray[np.float64]
CONCENTRATION = 10_000.0
"""Of the shares around the expected ones: a standard deviation of half a percentage point at one half, which is the
size of the errors that assignment makes."""
SAMPLE_RATIO_ALPHA = 0.001
"""Below this p, an experiment's assignment is broken: nothing else that it says counts."""


def log_evidence(counts: npt.ArrayLike, shares: npt.ArrayLike, concentration: float = CONCENTRATION) -> Floats:
    """Natural logarithm of the evidence against the expected shares.

    Args:
        counts: [..., num_kinds] how often each kind came, at one time or at several.
        shares: [num_kinds] how often each should come; above 0, they are brought to a sum of 1.
        concentration: how near to the expected shares others are thought to be.

    Returns:
        [...] float64; by chance, `log(1 / alpha)` is ever passed with a probability of at most alpha.
    """
    found, expected = np.asarray(counts, np.float64), np.asarray(shares, np.float64)
    expected = expected / expected.sum()
    prior = concentration * expected
    mixed = scipy.special.gammaln(found + prior).sum(-1) - scipy.special.gammaln(prior).sum()
    mixed = mixed - scipy.special.gammaln(found.sum(-1) + concentration) + scipy.special.gammaln(concentration)
    evidence: Floats = mixed - (found * np.log(expected)).sum(-1)
    return evidence


def p_value(counts: npt.ArrayLike, shares: npt.ArrayLike, concentration: float = CONCENTRATION) -> float:
    """The p-value of counts, or of counts at several times: it holds at all of them together.

    Args:
        counts: [num_kinds] or [num_times, num_kinds].
        shares, concentration: see `log_evidence`.

    >>> p_value([5_000, 5_000], [1, 1])
    1.0
    >>> p_value([40_800, 39_200], [1, 1]) < SAMPLE_RATIO_ALPHA
    True
    """
    return float(np.exp(-max(0.0, float(np.max(log_evidence(counts, shares, concentration), initial=0.0)))))
