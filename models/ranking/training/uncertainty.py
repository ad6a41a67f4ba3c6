"""How sure P(liked) is of a user and an item: fitted on eval, in closed form in the graph.

The log-odds of P(liked) are taken to be off by what is not known of the user and by what is not known of the item:
two independent normals, random intercepts of a logistic regression. What an event tells of both is told: of a user
with `n` events in the history the precision is `precision + per_event × n`, and so it is of an item with `n` events
in the training split.

Outcomes are 0 or 1, and of one event they say nothing of how far its probability is off. Two events of the same
user do: what is not known of the user moves both the same way, so that the product of their residuals `(y_i -
p_i)(y_j - p_j)` is in the mean that variance times `p_i(1 - p_i) p_j(1 - p_j)`. The same holds of two events with
the same item. Coverage is measured likewise: how many of a user's events were liked, against the interval of what
was expected. What a user makes of one item, beyond what they make of all and others of it, is no part of it: no
data have the same pair twice.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SPREAD = 1.0  # Standard deviation of what is assumed of the logarithms of both numbers before eval says anything.


@dataclasses.dataclass(frozen=True)
class Unknown:
    """What is not known of users, or of items.

    Attributes:
        precision: of the log-odds, without any event.
        per_event: what each event adds to it.
    """

    precision: float = 2.0
    per_event: float = 0.1

    def variance(self, num_events: Any) -> Any:
        """Of the log-odds; arrays and tensors alike."""
        return 1.0 / (self.precision + self.per_event * num_events)


@dataclasses.dataclass(frozen=True)
class Uncertainty:
    """Deviations of P(liked)."""

    of_users: Unknown = Unknown()
    of_items: Unknown = Unknown()

    def variance(self, of_user: Any, of_item: Any) -> Any:
        """Of the log-odds of P(liked), given the numbers of events; arrays and tensors alike."""
        return self.of_users.variance(of_user) + self.of_items.variance(of_item)

    def deviation(self, probabilities: Any, of_user: Any, of_item: Any) -> Any:
        """Of P(liked), to first order; arrays and tensors alike."""
        return probabilities * (1.0 - probabilities) * self.variance(of_user, of_item) ** 0.5


@dataclasses.dataclass(frozen=True)
class Judged:
    """Events whose outcome is known, each once.

    Attributes:
        probabilities: [num_events] that were predicted, calibrated.
        happened: [num_events] 0 or 1.
        users, items: [num_events] whose event, and with what.
        of_user: [num_events] how many events the history had.
        of_item: [num_events] how many events of the item training had.
    """

    probabilities: Floats
    happened: Floats
    users: Ints
    items: Ints
    of_user: Floats
    of_item: Floats


def fit_uncertainty(judged: Judged) -> Uncertainty:
    """The most likely one; where nobody has two events, and no item, what is assumed of all data."""
    return Uncertainty(
        _fit(_Blocks.of(judged, judged.users, judged.of_user)), _fit(_Blocks.of(judged, judged.items, judged.of_item))
    )


def coverage(judged: Judged, unknown: Unknown, groups: Ints, num_events: Floats, parts: int = 10) -> Floats:
    """Shares of groups whose liked events are within the 90% interval of what was expected of them.

    Args:
        judged: events.
        unknown: of the groups.
        groups: [num_events] whose events are one: users, or items.
        num_events: [num_events] that are known of the group.
        parts: groups are told apart by how many events are known of them: that many parts of equal size.

    Returns:
        [parts], those with the fewest events first.
    """
    blocks = _Blocks.of(judged, groups, num_events)
    deviations = np.abs(blocks.residual) / np.sqrt(blocks.variance(unknown))
    order = np.argsort(blocks.num_events, kind="stable")
    return np.array([(deviations[part] < 1.645).mean() for part in np.array_split(order, parts)])


@dataclasses.dataclass(frozen=True)
class _Blocks:
    """Sums over the events of each group: residuals, their variances, and products of these over pairs."""

    residual: Floats
    noise: Floats
    shared: Floats
    num_events: Floats

    @classmethod
    def of(cls, judged: Judged, groups: Ints, num_events: Floats) -> _Blocks:
        _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        variance = judged.probabilities * (1 - judged.probabilities)
        columns = judged.happened - judged.probabilities, variance, variance**2, num_events / sizes[group]
        residual, noise, squares, known = (np.bincount(group, column).astype(np.float64) for column in columns)
        # An event with itself is no pair: its variance is known.
        return cls(residual, np.maximum(noise, 1e-9), noise**2 - squares, known)

    def variance(self, unknown: Unknown) -> Floats:
        """Of the sums of residuals."""
        found: Floats = self.noise + self.shared * unknown.variance(self.num_events)
        return found


def _fit(blocks: _Blocks) -> Unknown:
    assumed = np.log(dataclasses.astuple(Unknown()))

    def loss(logarithms: Floats) -> float:
        variance = blocks.variance(Unknown(*np.exp(logarithms)))
        misfit = np.log(variance) + blocks.residual**2 / variance
        return float(misfit.sum() + (((logarithms - assumed) / SPREAD) ** 2).sum())

    found = scipy.optimize.minimize(loss, assumed, method="Nelder-Mead").x
    return Unknown(*(float(value) for value in np.exp(found)))
