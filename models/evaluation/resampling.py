"""Many figures of the same users, resampled together: an interval for each, and bounds that hold for all at once."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import scipy.sparse

Floats = npt.NDArray[np.float64]
NUM_SAMPLES = 1_000


class UserBootstrap:
    """Draws users, not their events: what one user does is no independent evidence.

    Args:
        users: [num_events] whose each event is; any whole numbers.
        num_samples: how often all users are drawn, with replacement.
        seed: of the draws.
    """

    def __init__(self, users: npt.NDArray[np.int64], num_samples: int = NUM_SAMPLES, seed: int = 0):
        known, user = np.unique(users, return_inverse=True)
        self.num_users = len(known)
        ones, events = np.ones(len(user)), np.arange(len(user))
        self._of_user = scipy.sparse.csr_matrix((ones, (user, events)), (self.num_users, len(user)))
        rng = np.random.default_rng(seed)
        drawn = [
            np.bincount(rng.integers(self.num_users, size=self.num_users), minlength=self.num_users)
            for _ in range(num_samples if self.num_users else 0)
        ]
        self._times = np.array([np.ones(self.num_users, np.int64), *drawn], np.float64)

    def sums(self, columns: Floats) -> Floats:
        """[num_events, ...] float64 → [1 + num_samples, ...] sums: of the data themselves, then of each sample.

        >>> UserBootstrap(np.array([7, 7, 9]), num_samples=2).sums(np.array([1.0, 2.0, 4.0]))[0]
        7.0
        """
        of_users = self._of_user @ columns.reshape(len(columns), math.prod(columns.shape[1:]))
        return (self._times @ of_users).reshape(-1, *columns.shape[1:])

    def means(self, values: Floats, mask: npt.NDArray[np.bool_]) -> Floats:
        """Means of the values where a mask is True: [num_events] → [1 + num_samples], of [num_events, n] masks
        [1 + num_samples, n]. NaN in a sample that drew nobody of them.
        """
        kept = np.where(mask, values.reshape(-1, *[1] * (mask.ndim - 1)), 0.0)
        totals, counts = self.sums(kept), self.sums(mask.astype(np.float64))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(totals / counts)


def interval(found: Floats) -> list[float]:
    """Ends of the 95% interval of one figure: [1 + num_samples] → two."""
    return [float(end) for end in np.nanquantile(found[1:], [0.025, 0.975])]


def deviations(found: Floats) -> Floats:
    """[num_figures] standard errors: [1 + num_samples, num_figures]."""
    return np.nanstd(found[1:], axis=0)


def critical(found: Floats, error: float) -> float:
    """How many standard errors every figure's upper bound has to lie above it, so that all bounds hold together.

    The quantile of the largest studentised deviation upwards among the figures (Romano and Wolf 2005, Stepwise
    Multiple Testing as Formalized Data Snooping, their first step). Figures that move together cost less than by
    Bonferroni.

    Args:
        found: [1 + num_samples, num_figures], the figures, then their samples.
        error: the probability that any of the bounds is too low (family-wise), 0.05 for example.
    """
    deviation = deviations(found)
    moves = deviation > 0
    if not moves.any():
        return 0.0
    # Upwards, as in a percentile interval: a mean of few gains has its long tail there, and is mostly too low.
    excess = (found[1:, moves] - found[:1, moves]) / deviation[moves]
    return float(np.quantile(np.nanmax(excess, axis=1), 1 - error))
