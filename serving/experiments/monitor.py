"""What became of each arm while pages are served, and whether one is worse than it may be."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from homefeed.models.sequential.confidence import ALPHA, half_width
from homefeed.models.sequential.ratios import Sums, effect
from homefeed.serving.experiments.design import Experiment, Experiments
from homefeed.serving.experiments.metrics import METRICS, TALLIES, Fact, MetricName, Tallies, count
from homefeed.serving.profiles import Stop

MAX_USERS = 100_000  # Of an arm, 8 MB; later ones are not counted.


class Crowd:
    """Some users, and what was counted of each.

    Args:
        width: numbers of a user.
    """

    def __init__(self, width: int = len(TALLIES)) -> None:
        self._places: dict[object, int] = {}  # Of users, and of those who were forgotten.
        self._rows = np.zeros((64, width))

    def row(self, user: str) -> Tallies | None:
        """[width] a user's numbers, to be changed; None: there are too many users."""
        place = self._places.get(user)
        if place is None:
            place = len(self._places)
            if place == MAX_USERS:
                return None
            self._places[user] = place
            if place == len(self._rows):
                self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        found: Tallies = self._rows[place]
        return found

    @property
    def rows(self) -> Tallies:
        """[num_users, width] of all users."""
        found: Tallies = self._rows[: len(self._places)]
        return found

    def forget(self, user: str) -> None:
        """Who a user is; their numbers stay."""
        if user in self._places:
            self._places[object()] = self._places.pop(user)

    def sums(self, metric: MetricName) -> Sums:
        """What a metric is made of."""
        return Sums.of(METRICS[metric].columns(self.rows))


@dataclasses.dataclass(frozen=True)
class Party:
    """Whose page it is, and of which arms.

    Attributes:
        user: who was shown it.
        arms: experiment, as it is remembered → arm.
        chances: item → probability that models told of it.
        model_version: of the list.
    """

    user: str
    arms: Mapping[str, str]
    chances: Mapping[str, float] = dataclasses.field(default_factory=dict)
    model_version: str = ""


class Monitor:
    """Counts by experiment, arm and user, from the start of the process."""

    def __init__(self) -> None:
        self._crowds: dict[tuple[str, str], Crowd] = {}

    def served(self, party: Party, tallies: Tallies) -> None:
        """A page was made."""
        for row in self._rows_of(party):
            row += tallies
            count(row, ())

    def happened(self, party: Party, item_id: str, facts: Sequence[Fact]) -> None:
        """Something became known of a card of theirs."""
        for row in self._rows_of(party):
            count(row, facts)

    def forget(self, user: str) -> None:
        """Who a user is; what they did stays counted, as somebody's."""
        for crowd in self._crowds.values():
            crowd.forget(user)

    def breaches(self, experiments: Experiments, stopped: Collection[str], now: float) -> Iterator[Stop]:
        """Experiments that have to stop, because an arm is surely worse than the control by more than it may be.

        Looks do not matter: intervals hold at all times together, and the guardrails of an experiment share ALPHA.
        """
        for name, one in experiments.by_name.items():
            key = experiments.key(name)
            if key not in stopped and one.arms and one.runs(now):
                reason = next(self._worse(key, one), "")
                if reason:
                    yield Stop(key, one.control, reason, int(now))

    def _rows_of(self, party: Party) -> Iterator[Tallies]:
        for key, arm in party.arms.items():
            row = self._crowds.setdefault((key, arm), Crowd()).row(party.user)
            if row is not None:
                yield row

    def _worse(self, key: str, experiment: Experiment) -> Iterator[str]:
        others = experiment.names[1:]
        control = self._crowds.get((key, experiment.control))
        for arm in others:
            crowd = self._crowds.get((key, arm))
            for metric, limit in experiment.guardrails.items() if control and crowd else ():
                assert control and crowd
                alpha = ALPHA / len(others) / len(experiment.guardrails)
                surely = worse_by(control.sums(metric), crowd.sums(metric), metric, experiment.users, alpha)
                if surely > limit:
                    found = effect(control.sums(metric), crowd.sums(metric))
                    yield (
                        f"{METRICS[metric].words} of {arm} is worse than {experiment.control}'s by {surely:.3g} at "
                        f"least ({found.treatment:.3g} against {found.control:.3g}; {limit:g} is allowed)"
                    )


def worse_by(control: Sums, treatment: Sums, metric: MetricName, planned: int, alpha: float) -> float:
    """By how much an arm is worse at least, in units of the metric; below 0: it may be better.

    Args:
        control, treatment: of the metric.
        metric: its name.
        planned: users at which the interval is narrowest.
        alpha: probability with which the true figure is ever outside of the interval.
    """
    found = effect(control, treatment)
    width = half_width(found.variance, found.num_users, planned, alpha)
    return -math.inf if math.isinf(width) else -METRICS[metric].sign * found.difference - width
