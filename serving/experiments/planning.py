"""How many users and days an experiment needs, by the pages of the last weeks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from homefeed.models.sequential.power import Needed, needed
from homefeed.serving.experiments.design import Experiment
from homefeed.serving.experiments.metrics import MetricName
from homefeed.serving.experiments.reading import Page
from homefeed.serving.experiments.report import PAST_SECONDS, sums_of, tallies_of

DAY_SECONDS = 86_400


@dataclasses.dataclass(frozen=True)
class Power:
    """What an experiment needs, by the pages of the last weeks.

    Attributes:
        metric: that decides.
        baseline: its value.
        users: users of all arms that are needed.
        users_a_day: new users a day who would be in it.
        days: until so many have come; None: nobody comes.
    """

    metric: MetricName
    baseline: float
    users: Needed
    users_a_day: float
    days: int | None


def power(experiment: Experiment, pages: Sequence[Page], lift: float) -> Power | None:
    """What the first other arm needs for a lift to be found with a probability of 80%; None: pages say nothing.

    Args:
        experiment: as it is described.
        pages: of before, oldest first.
        lift: of the metric, as a share of it.
    """
    about = [page for page in pages if experiment.is_about(page.surface)]
    about = [page for page in about if page.at >= about[-1].at - PAST_SECONDS]
    sums = sums_of(experiment.metric, tallies_of(about), {})
    variance = sums.variances()[0] if sums.count else 0.0
    if not sums.ratio or not variance:
        return None
    first, other = (experiment.shares * 2)[:2]
    # What grows by a share has a deviation that grows by as much, at most.
    users = needed((variance, variance * (1 + lift) ** 2), sums.ratio * lift, (first, other))
    days = max((about[-1].at - about[0].at) / DAY_SECONDS, 1.0)
    width = experiment.part[1] - experiment.part[0]
    a_day = sums.count / days * experiment.coverage * width
    return Power(
        experiment.metric,
        sums.ratio,
        users,
        a_day,
        math.ceil(users.sequential / (a_day * (first + other))) if a_day else None,
    )
