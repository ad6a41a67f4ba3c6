"""Who gets which arms on a page, and what that makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from homefeed.serving.experiments import bucketing
from homefeed.serving.experiments.bucketing import remembered
from homefeed.serving.experiments.design import Experiment, Experiments
from homefeed.serving.policy.surfaces import Surface
from homefeed.serving.releases.server_config import STABLE


class Unit(NamedTuple):
    """Who asks for a page; one of both is empty.

    Attributes:
        user_id: as the site knows them.
        session_id: of a guest.
    """

    user_id: str
    session_id: str

    def of(self, kind: str) -> str:
        """The id by which an experiment of a kind of unit knows them; "": they are none of its units."""
        return {"user": self.user_id, "session": self.session_id}.get(kind, self.user_id or self.session_id)


class Assigned(NamedTuple):
    """What a page is made with.

    Attributes:
        arms: experiment → arm, of those that the page is a part of.
        fresh: `sticky_key` → arm, of those that the reader did not have before.
        changes: field of the surface → what it is for them.
        label: of the models.
        interleave: labels of two models whose lists take turns; (): one list.
    """

    arms: Mapping[str, str] = {}
    fresh: Mapping[str, str] = {}
    changes: Mapping[str, Any] = {}
    label: str = STABLE
    interleave: tuple[str, ...] = ()

    def on(self, surface: Surface) -> Surface:
        """The surface as it is for them."""
        return surface.model_copy(update=dict(self.changes)) if self.changes else surface


NOTHING = Assigned()


def assign(
    experiments: Experiments,
    unit: Unit,
    surface: str,
    stored: Mapping[str, str],
    stopped: Mapping[str, str],
    now: float,
    secret: bytes = b"",
) -> Assigned:
    """The arms of a reader on a page of a surface.

    Args:
        experiments: of the file.
        unit: the reader.
        surface: its name.
        stored: `sticky_key` → arm, of what they were given before.
        stopped: `sticky_key` → arm that everybody gets since it was stopped.
        now: Unix seconds.
        secret: of the store, by which buckets of experiments without a seed are keyed.
    """
    arms, fresh, changes = dict[str, str](), dict[str, str](), dict[str, Any]()
    label, interleave = STABLE, tuple[str, ...]()
    for name, one in experiments.by_name.items():
        if not one.runs(now) or not one.is_about(surface):
            continue
        key = experiments.key(name)
        if key in stopped:
            arm: str | None = stopped[key] if stopped[key] in one.arms else None
        elif arm := arm_of(name, one, unit.of(one.unit), stored, secret):
            arms[name] = arm
            if stored.get(key) != arm:
                fresh[key] = arm
        if arm is not None:
            changes |= one.changes(arm)
            if one.interleave:
                interleave = one.interleave
            elif one.arms[arm].model != STABLE:
                label = one.arms[arm].model
    return Assigned(arms, fresh, changes, label, interleave)


def arm_of(
    name: str, experiment: Experiment, unit: str, stored: Mapping[str, str], secret: bytes = b""
) -> str | None:
    """The arm of one experiment; None: they are not in it.

    Who had an arm keeps it, whatever weights, coverage and parts are now. Without a seed, which is public, nobody can
    tell the arm of an id before it is shown: guests choose their ids.
    """
    if not unit:
        return None
    kept = remembered(stored, name, experiment.version, experiment.min_version)
    if kept.is_blocked:
        return None
    if kept.arm in experiment.names:
        return kept.arm
    if experiment.layer and not bucketing.in_layer(unit, experiment.layer, experiment.part):
        return None
    if not experiment.layer and experiment.part != (0.0, 1.0) and not bucketing.in_layer(unit, name, experiment.part):
        return None
    own = unit if experiment.seed or not secret else bucketing.keyed(unit, name, secret)
    place = bucketing.bucket(experiment.seed or name, own, experiment.hash_version)
    chosen = bucketing.choose(place, experiment.ranges) if place is not None else -1
    return experiment.names[chosen] if chosen >= 0 else None
