"""How a group of users fares beside all others: its quality, and its part in the training data.

All figures are [1 + num_samples]: of the data, then of each sample of a UserBootstrap.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from homefeed.models.evaluation.resampling import Floats, UserBootstrap

Mask = npt.NDArray[np.bool_]
_RIDGE = 1e-6  # Of the regression, relative to the number of queries: a column may be constant.


def expected_alike(bootstrap: UserBootstrap, gains: Floats, known: Floats, group: Mask) -> Floats:
    """[1 + num_samples] mean gain that a group would have if its queries went as those of all others do.

    A linear regression of the others' gains on what is known of a query beside its user's group, carried over to the
    group's queries (Oaxaca 1973, Blinder 1973: the part of a gap that characteristics explain).

    Args:
        bootstrap: over the users of the queries.
        gains: [num_queries] of the model that is judged.
        known: [num_queries, num_columns] of each query: how long its history is, how well a reference does.
        group: [num_queries] which queries are the group's.
    """
    columns = np.concatenate([np.ones((len(gains), 1)), known], axis=1)
    squares = columns[:, :, None] * columns[:, None]
    products = columns * gains[:, None]
    others = (~group).astype(np.float64)
    normal = bootstrap.sums(squares * others[:, None, None])
    normal += _RIDGE * (1 + normal[:, :1, :1]) * np.eye(columns.shape[1])
    slopes = np.linalg.solve(normal, bootstrap.sums(products * others[:, None])[..., None])[..., 0]
    totals = bootstrap.sums(columns * group[:, None])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((totals * slopes).sum(axis=1) / totals[:, 0])


def activity_gap(bootstrap: UserBootstrap, events: Floats, group: Mask) -> Floats:
    """How active a group's users are beside all others: [1 + num_samples] difference of the mean log(1 + events) of
    active users; about log 0.5 where they do half as much.

    The mean of logarithms is not moved by the few users who do most, nor by how many join when, as a ratio of sums
    would be.

    Args:
        bootstrap: over users, each once.
        events: [num_users] how many each has.
        group: [num_users] who is in the group.
    """
    levels = [bootstrap.means(np.log1p(events), mask & (events > 0)) for mask in (group, ~group)]
    return levels[0] - levels[1]
