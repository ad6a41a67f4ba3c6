"""How a group of users fares beside all others: its quality, and its part in the training data.

All figures are [1 + num_samples]: of the data, then of each sample of a UserBootstrap.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from homefeed.models.evaluation.resampling import Floats, UserBootstrap

Mask = npt.NDArray[np.bool_]
MOST = 0.95  # Of the users with any events, the share whose number is the highest that counts.
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


def activity_gap(bootstrap: UserBootstrap, events: Floats, times: Floats, group: Mask) -> Floats:
    """How active a group's users are beside all others: [1 + num_samples] difference of the logarithms of rates.

    A rate is events a person and time; the difference is log 0.5 where a group does half as much.

    A rate is the same over a week and over a year, where a mean of what each did is not: over a week, most did little
    or nothing. So that the few who do most do not decide, nobody counts for more than all but a twentieth do.

    Args:
        bootstrap: over users, each once.
        events: [num_users] how many each has.
        times: [num_users] how long each was there for them, in any unit.
        group: [num_users] who is in the group.
    """
    some = events[events > 0]
    capped = np.minimum(events, np.quantile(some, MOST)) if len(some) else events
    sums = [bootstrap.sums(np.stack([capped, times], axis=1) * mask[:, None]) for mask in (group, ~group)]
    with np.errstate(invalid="ignore", divide="ignore"):
        mine, theirs = (np.log(found[:, 0] / found[:, 1]) for found in sums)
        return np.asarray(mine - theirs)
