"""What to make of an experiment, in a sentence or two."""

from __future__ import annotations

from collections.abc import Mapping

from homefeed.models.sequential import confidence, counts
from homefeed.models.sequential.interleaving import Preference
from homefeed.serving.experiments.design import Experiment
from homefeed.serving.experiments.metrics import METRICS, MetricName
from homefeed.serving.experiments.report import Comparison, Report


def conclude(found: Report, experiment: Experiment) -> str:
    """The sentences.

    Args:
        found: what came of it.
        experiment: as it is described.
    """
    stopped = f"It was stopped: {found.stopped} " if found.stopped else ""
    num_users = sum(arm.users for arm in found.arms.values())
    if found.preference and experiment.interleave:
        return stopped + _preferred(found.preference, *experiment.interleave)
    if found.sample_ratio < counts.SAMPLE_RATIO_ALPHA:
        split = found.arms.items()
        shares = ", ".join(f"{arm.users:,} of {name} (expected {arm.expected:.0%})" for name, arm in split)
        return (
            f"{stopped}The split of users is broken (p = {found.sample_ratio:.2g}): {shares}. Nothing else here "
            "counts before it is known what loses users of an arm."
        )
    if num_users < confidence.MIN_USERS:
        return f"{stopped}Too few users to say anything: {num_users} of {confidence.MIN_USERS} at least."
    return stopped + " ".join(_verdict(found, arm, of_arm) for arm, of_arm in found.comparisons.items())


def _verdict(found: Report, arm: str, comparisons: Mapping[MetricName, Comparison]) -> str:
    one, metric = comparisons[found.metric], METRICS[found.metric]
    broken = [METRICS[name].words for name, other in comparisons.items() if other.is_broken]
    guard = f" Its {' and '.join(broken)} broke a guardrail: give everybody {found.control}." if broken else ""
    if one.low is None or one.high is None:
        return f"Too few users in {arm} to say anything.{guard}"
    span = f"{_share(one.low, one)} to {_share(one.high, one)}"
    if one.low <= 0 <= one.high:
        users = sum(each.users for each in found.arms.values())
        rest = f"{users:,} of {found.planned:,} planned users came" if users < found.planned else "enough users came"
        return (
            f"No difference of {arm}'s {metric.words} from {found.control}'s is established ({span}); {rest}.{guard}"
        )
    is_better = one.difference * metric.sign > 0
    values = (f"{found.arms[name].metrics[found.metric]:.4g}" for name in (arm, found.control))
    return (
        f"{arm} is {'better' if is_better else 'worse'} than {found.control}: its {metric.words} is "
        f"{' against '.join(values)}, {_share(one.difference, one)} ({span}, whenever one looks).{guard}"
    )


def _share(value: float, comparison: Comparison) -> str:
    """A difference, as a share of the control's where there is one."""
    if comparison.relative is None or not comparison.difference:
        return f"{value:+.4g}"
    return f"{value * comparison.relative / comparison.difference:+.1%}"


def _preferred(found: Preference, first: str, second: str) -> str:
    users = (
        f"{found.second:,} took more of {second}'s cards, {found.first:,} more of {first}'s, {found.ties:,} neither"
    )
    if found.p_value > confidence.ALPHA:
        return f"No preference between {first} and {second} is established (p = {found.p_value:.2g}): {users}."
    return f"Readers prefer {second if found.preference > 0 else first} (p = {found.p_value:.2g}): {users}."
