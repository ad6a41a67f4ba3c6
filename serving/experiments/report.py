"""What came of an experiment: its arms, and intervals that hold whenever one looks."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from homefeed.models.sequential import confidence, counts
from homefeed.models.sequential.interleaving import Preference, preference
from homefeed.models.sequential.ratios import Sums, effect
from homefeed.serving.experiments.design import Experiment
from homefeed.serving.experiments.metrics import METRICS, TALLIES, MetricName, Tallies, count, of_page
from homefeed.serving.experiments.monitor import worse_by
from homefeed.serving.experiments.reading import Page

PAST_SECONDS = 28 * 86_400  # Of before the experiment, which CUPED looks at.


@dataclasses.dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes:
        users, pages: that it had.
        expected: share of all users that it should have.
        metrics: metric → its value.
        model_versions: version of the lists → pages.
    """

    users: int
    pages: int
    expected: float
    metrics: Mapping[str, float]
    model_versions: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A metric of an arm beside the control's.

    Attributes:
        difference: in units of the metric, without what the weeks before explain.
        low, high: the interval of it; None: too few users.
        relative: the difference as a share of the control's; None: that is 0.
        p_value: holds whenever one looks.
        saved: share of the variance that the weeks before took away.
        is_broken: whether the arm is worse by more than a guardrail allows; None: it is no guardrail.
    """

    difference: float
    low: float | None
    high: float | None
    relative: float | None
    p_value: float
    saved: float
    is_broken: bool | None


@dataclasses.dataclass(frozen=True)
class Report:
    """An experiment.

    Attributes:
        name: of the experiment.
        metric: that decides.
        control: name of the first arm.
        arms: by name.
        comparisons: arm other than the control → metric → comparison.
        sample_ratio: p of the split of users; below counts.SAMPLE_RATIO_ALPHA it is broken.
        mixed: users who saw several arms, such as guests who logged in elsewhere; they are left out.
        left_out: pages of other versions of it, which are not counted.
        planned: users for whom intervals are narrowest.
        preference: whose cards were taken, of lists that took turns; None: they did not.
        stopped: why it was stopped, and which arm everybody gets; "": it runs.
    """

    name: str
    metric: MetricName
    control: str
    arms: Mapping[str, Arm]
    comparisons: Mapping[str, Mapping[MetricName, Comparison]]
    sample_ratio: float
    mixed: int
    left_out: int
    planned: int
    preference: Preference | None
    stopped: str


def report(name: str, experiment: Experiment, pages: Sequence[Page], stopped: str = "") -> Report:
    """What pages say of an experiment.

    Args:
        name: of the experiment.
        experiment: as it is described.
        pages: all that are known, oldest first, those of before it too.
        stopped: see `Report`.
    """
    since = experiment.since or 0.0
    all_mine = [page for page in pages if name in page.arms and page.at >= since]
    # Another version had other weights, and was for others.
    mine = [page for page in all_mine if page.versions.get(name, 0) == experiment.version]
    begins = experiment.since or (mine[0].at if mine else math.inf)
    past = tallies_of([page for page in pages if begins - PAST_SECONDS <= page.at < begins])
    seen = {(page.user, page.arms[name]) for page in mine}
    mixed = {user for user, arms in Counter(user for user, _ in seen).items() if arms > 1}
    of_arms = {arm: [page for page in mine if page.arms[name] == arm] for arm in experiment.names}
    users = {arm: tallies_of([page for page in of_arms[arm] if page.user not in mixed]) for arm in of_arms}
    arms = {arm: _arm(arm, experiment, users[arm], of_arms[arm]) for arm in of_arms}
    comparisons = {
        arm: {
            metric: _comparison(metric, experiment, *(sums_of(metric, users[one], past) for one in pair))
            for metric in METRICS
        }
        for arm in experiment.names[1:]
        for pair in [(experiment.control, arm)]
    }
    over_time = _over_time(name, experiment, mine, mixed)
    sample_ratio = counts.p_value(over_time, experiment.shares) if len(experiment.names) > 1 else 1.0
    preferred = _preference(experiment, of_arms[experiment.control]) if experiment.interleave else None
    return Report(
        name,
        experiment.metric,
        experiment.control,
        arms,
        comparisons,
        sample_ratio,
        len(mixed),
        len(all_mine) - len(mine),
        experiment.users,
        preferred,
        stopped,
    )


def tallies_of(pages: Sequence[Page]) -> dict[str, Tallies]:
    """User → what was counted of them."""
    found: dict[str, Tallies] = {}
    for page in pages:
        row = found.setdefault(page.user, np.zeros(len(TALLIES)))
        row += of_page(page.served_by, page.took_ms, page.variety)
        count(row, ())
        for facts in page.cards.values():
            count(row, facts)
    return found


def sums_of(metric: MetricName, users: Mapping[str, Tallies], past: Mapping[str, Tallies]) -> Sums:
    """What a metric is made of.

    Args:
        metric: its name.
        users: user → tallies.
        past: the same of before the experiment; who is not there has no past.
    """
    if not users:
        return Sums()
    columns, nothing = METRICS[metric].columns, np.zeros(len(TALLIES))
    rows = [np.concatenate([columns(row), columns(past.get(user, nothing))]) for user, row in users.items()]
    return Sums.of(np.stack(rows))


def _arm(arm: str, experiment: Experiment, users: Mapping[str, Tallies], pages: Sequence[Page]) -> Arm:
    versions = Counter(str(page.model_version) for page in pages)
    return Arm(
        len(users),
        len(pages),
        experiment.shares[experiment.names.index(arm)],
        {metric: sums_of(metric, users, {}).ratio for metric in METRICS},
        dict(versions.most_common()),
    )


def _comparison(metric: MetricName, experiment: Experiment, control: Sums, treatment: Sums) -> Comparison:
    found = effect(control, treatment)
    width = confidence.half_width(found.variance, found.num_users, experiment.users)
    limit = experiment.guardrails.get(metric)
    others = (len(experiment.names) - 1) * max(len(experiment.guardrails), 1)
    return Comparison(
        found.difference,
        None if math.isinf(width) else found.difference - width,
        None if math.isinf(width) else found.difference + width,
        found.difference / found.control if found.control else None,
        confidence.p_value(found.difference, found.variance, found.num_users, experiment.users),
        found.saved,
        None
        if limit is None
        else worse_by(control, treatment, metric, experiment.users, confidence.ALPHA / others) > limit,
    )


def _over_time(
    name: str, experiment: Experiment, pages: Sequence[Page], mixed: set[str]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """[num_users, num_arms] users of each arm, as they came."""
    first: dict[str, str] = {}
    for page in pages:
        if page.user not in mixed:
            first.setdefault(page.user, page.arms[name])
    came = np.array([[arm == other for other in experiment.names] for arm in first.values()], np.float64)
    return came.reshape(-1, len(experiment.names)).cumsum(axis=0)


def _preference(experiment: Experiment, pages: Sequence[Page]) -> Preference:
    """Cards that were taken, by the label that chose them."""
    assert experiment.interleave
    taken: dict[str, list[int]] = {}
    for page in pages:
        row = taken.setdefault(page.user, [0, 0])
        for item, label in page.teams.items():
            row[experiment.interleave.index(label)] += "acted" in page.cards.get(item, ())
    return preference(list(taken.values()))
