"""Whether guarded groups of users fare worse than they may, each against what it is measured by."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.components.evaluator.groups import Groups, at_queries, guarded_users
from homefeed.components.evaluator.measured import IN_SERVICE, POPULARITY, RANKING_ROW, Measured
from homefeed.components.evaluator.queries import GroupLimits
from homefeed.models.evaluation import metrics, resampling
from homefeed.models.evaluation.group_gaps import activity_gap, expected_alike
from homefeed.models.evaluation.resampling import Floats, UserBootstrap
from homefeed.models.sequences import Sequences

Ints = npt.NDArray[np.int64]
FAMILY_WISE_ERROR = 0.05  # That any group of a model without a fault closes the blessing.
POWER_DEVIATIONS = 0.8416  # Standard errors to the quantile at 80%.
REFERENCE_CUT = 1_000  # Of popularity's gain, which the expectation knows: farther down than the first page.

BASE, ALIKE = "the models in service", "others alike"
EVENTS_BASE, EVENTS = "the data of the models in service", "its part later"


@dataclasses.dataclass(frozen=True)
class Check:
    """One group against one thing. Figures are [1 + num_samples].

    Attributes:
        group: its name.
        against: what it is measured by: BASE, ALIKE, EVENTS_BASE or EVENTS.
        margin: the relative loss that is borne.
        relative: gain (or loss, below 0) beside what is expected.
        excess: less than 0 where the loss is larger than the margin.
        scale: of `excess`, how much a relative loss of 1 is; of events, whose unit is a logarithm, 0.
    """

    group: str
    against: str
    margin: float
    relative: Floats
    excess: Floats
    scale: float

    @property
    def is_told(self) -> bool:
        """Whether there is a figure in each sample: of few users, whom nobody chose anything for, there is none."""
        return bool(np.isfinite(self.relative).all() and np.isfinite(self.excess).all())

    def findable(self, num_deviations: float) -> float:
        """The relative loss that would be found in four of five data sets like this one, at most 1."""
        far = (num_deviations + POWER_DEVIATIONS) * float(np.nanstd(self.excess[1:]))
        loss = self.margin + far / self.scale if self.scale else 1 - (1 - self.margin) * np.exp(-far)
        return float(min(loss, 1.0))


def check_groups(
    found: Measured,
    sequences: Sequences,
    train: Sequences,
    limits: GroupLimits,
    in_service: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Guarded groups, their figures and what is said against them.

    Args:
        found: a split, measured.
        sequences: of the same split.
        train: what was learnt from.
        limits: what groups may lose.
        in_service: `activity` as it was returned for the models in service; None: nothing is known of their data.

    Returns:
        `activity`: name → `rate` and `deviation` of how active its users are in training beside others (logarithms);
        `error` (family-wise), `deviations` (how many standard errors a bound is away), and
        `groups`: name → `users`, `queries`, `too_few` (what it cannot be measured by: too few of its users were found
        anything), and `checks`: against → `relative`, `interval` (95%, of this figure alone), `bound` (that holds for
        all together), `margin`, `findable` and `closes`. A group with neither is too small.
    """
    of_users = guarded_users(sequences, train)
    masks = at_queries(of_users, found.queries)
    activity = _Activity(sequences, train, limits)
    all_checks = [*_of_quality(found, sequences, masks, limits), *_of_events(activity, limits, in_service or {})]
    checks = [check for check in all_checks if check.is_told]
    excesses = np.stack([check.excess for check in checks], axis=1) if checks else np.zeros((1, 0))
    far = resampling.critical(excesses, FAMILY_WISE_ERROR) if checks else 0.0
    groups: dict[str, Any] = {
        name: {
            "users": len(np.unique(found.queries.rows[mask])),
            "queries": int(mask.sum()),
            "too_few": [check.against for check in all_checks if check.group == name and not check.is_told],
            "checks": {check.against: _described(check, far) for check in checks if check.group == name},
        }
        for name, mask in masks.items()
    }
    return {
        "error": FAMILY_WISE_ERROR,
        "deviations": far,
        "comparisons": len(checks),
        "groups": groups,
        "activity": activity.described(),
    }


def _described(check: Check, far: float) -> dict[str, Any]:
    deviation = float(np.nanstd(check.excess[1:]))
    highest = float(check.excess[0]) + far * deviation
    bound = highest / check.scale - check.margin if check.scale else (1 - check.margin) * np.exp(highest) - 1
    return {
        "relative": float(check.relative[0]),
        "interval": resampling.interval(check.relative),
        "bound": float(bound),
        "margin": check.margin,
        "findable": check.findable(far),
        "closes": bool(highest < 0),
    }


def _of_quality(found: Measured, sequences: Sequences, masks: Groups, limits: GroupLimits) -> Iterator[Check]:
    gains = {name: metrics.ndcg(ranks, 10) * found.weights for name, ranks in found.ranks.items()}
    ours, rows = gains[RANKING_ROW], found.queries.rows
    bootstrap, known = UserBootstrap(rows), _known(found, sequences)
    for name, mask in masks.items():
        if not _are_enough(rows, mask, limits.min_users):
            continue
        mean = bootstrap.means(ours, mask)
        expected = {ALIKE: (expected_alike(bootstrap, ours, known, mask), limits.gap)}
        if IN_SERVICE in gains:
            expected[BASE] = bootstrap.means(gains[IN_SERVICE], mask), limits.base
        for against, (theirs, margin) in expected.items():
            if margin < 1:
                with np.errstate(divide="ignore", invalid="ignore"):
                    relative = np.where(theirs[0] > 0, mean / theirs - 1, np.nan)
                yield Check(name, against, margin, relative, mean - (1 - margin) * theirs, float(theirs[0]))


def _known(found: Measured, sequences: Sequences) -> Floats:
    """[num_queries, 5] what is known of a query beside its user's group."""
    lengths = np.array([len(history) for history in found.queries.histories], np.float64)
    popular = metrics.ndcg(found.ranks[POPULARITY], REFERENCE_CUT) * found.weights
    asked = sequences.query_token_ids
    searched = np.zeros(len(lengths), bool) if asked is None else asked[found.queries.ends].any(axis=1)
    return np.stack([np.log1p(lengths), lengths == 0, searched, popular, found.weights], axis=1)


class _Activity:
    """How active the users of guarded groups are beside others, [1 + num_samples] logarithms of rates.

    Attributes:
        in_training, lately, later: name → figures, of those with enough active users: of all training, of its last
            part, which is as long as the split, and of the split. Newcomers do more than others, so that the parts
            that are compared are of one length.
    """

    def __init__(self, sequences: Sequences, train: Sequences, limits: GroupLimits):
        ids = np.concatenate([train.user_ids, sequences.user_ids]).astype(bytes)
        _, first, self._place = np.unique(ids, return_index=True, return_inverse=True)
        mine, theirs = (guarded_users(people, train) for people in (train, sequences))
        self._some = np.linspace(0, len(first) - 1, min(len(first), limits.max_users)).astype(np.int64)
        self._members = {name: np.concatenate([mine[name], theirs[name]])[first][self._some] for name in mine}
        self._bootstrap, self._min_users = UserBootstrap(np.arange(len(self._some))), limits.min_users
        times, of_user = train.timestamp, np.repeat(np.arange(len(train.user_ids)), np.diff(train.row_splits))
        split_times = sequences.timestamp[sequences.targets]
        split_counts = np.diff(sequences.row_splits) - sequences.num_history
        split_user = len(train.user_ids) + np.repeat(np.arange(len(split_counts)), split_counts)
        self.in_training = self._rates(times, of_user, times[:0], of_user[:0])
        is_late = times >= times.max(initial=0) - np.ptp(split_times) if len(split_times) else times < 0
        self.lately = self._rates(times[is_late], of_user[is_late], times[~is_late], of_user[~is_late])
        # Where a split takes one event of everybody, it does not tell who is active.
        tells = split_counts.max(initial=0) > 1
        self.later = self._rates(split_times, split_user, times, of_user) if tells else {}

    def _rates(self, times: Ints, of_user: Ints, before: Ints, of_earlier: Ints) -> dict[str, Floats]:
        """Of some events. Who had events before is there all the time; a newcomer from their first one on."""
        if not len(times):
            return {}
        place, size = self._place[of_user], self._place.max(initial=0) + 1
        first = np.full(size, times.max())
        np.minimum.at(first, place, times)
        is_known = np.bincount(self._place[of_earlier], minlength=size) > 0
        events = np.bincount(place, minlength=size).astype(np.float64)
        events -= ~is_known & (events > 0)  # A newcomer's first event brings them here, and is not counted.
        seconds = np.where(is_known, times.max() - times.min(), times.max() - first).astype(np.float64)
        return self._gaps(events[self._some], seconds[self._some])

    def described(self) -> dict[str, dict[str, float]]:
        """What a later run compares with."""
        return {
            name: {"rate": float(gap[0]), "deviation": float(np.std(gap[1:]))}
            for name, gap in self.in_training.items()
            if np.isfinite(gap).all()
        }

    def _gaps(self, events: Floats, seconds: Floats) -> dict[str, Floats]:
        users, active = np.arange(len(events)), events > 0
        return {
            name: activity_gap(self._bootstrap, events, seconds, mask)
            for name, mask in self._members.items()
            if _are_enough(users[active], mask[active], self._min_users)
        }


def _of_events(activity: _Activity, limits: GroupLimits, in_service: Mapping[str, Any]) -> Iterator[Check]:
    """Lost events, which show here where quality cannot show them.

    The data of the models in service are the better measure, which hold most of the same events. What comes later is
    little, and groups may have changed since.
    """
    if limits.events >= 1:
        return
    for name, gap in activity.in_training.items():
        if "rate" in (known := in_service.get(name, {})):
            noise = np.random.default_rng(0).normal(0.0, known["deviation"], len(gap))
            noise[0] = 0.0
            yield _check_of_events(name, EVENTS_BASE, limits.events, gap - known["rate"] + noise)
        elif name in activity.later and name in activity.lately:
            yield _check_of_events(name, EVENTS, limits.events, activity.lately[name] - activity.later[name])


def _check_of_events(name: str, against: str, margin: float, log: Floats) -> Check:
    return Check(name, against, margin, np.expm1(log), log - np.log1p(-margin), 0.0)


def _are_enough(users: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_], least: int) -> bool:
    """Whether a group and all others have so many users."""
    return all(len(np.unique(users[who])) >= least for who in (mask, ~mask))


def reasons(checked: Mapping[str, Any]) -> list[str]:
    """Why guarded groups close the blessing, one line each; empty: they do not."""
    told = f"for all {checked['comparisons']} comparisons of groups together, wrong in {checked['error']:.0%}"
    return [
        _reason(name, group, against, figures, told)
        for name, group in checked["groups"].items()
        for against, figures in group["checks"].items()
        if figures["closes"]
    ]


def _reason(name: str, group: Mapping[str, Any], against: str, figures: Mapping[str, Any], told: str) -> str:
    loss = f"{-figures['relative']:.0%} below {against}, and {-figures['bound']:.0%} at least ({told})"
    borne = f"more than the {figures['margin']:.0%}"
    if against in (EVENTS, EVENTS_BASE):
        what = f"training holds too few events of group {name!r}: how active its users are is {loss}"
        return f"{what}, {borne} of evaluator.group_events_margin; look for events of theirs that were lost"
    setting = "group_gap_margin" if against == ALIKE else "slice_margin"
    users = f"{group['queries']:,} queries of {group['users']:,} users"
    return f"NDCG@10 in group {name!r} ({users}) is {loss}, {borne} of evaluator.{setting}"
