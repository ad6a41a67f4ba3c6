"""Experiments as their file describes them. See docs/experiments.md."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from homefeed.schemas.words import near
from homefeed.serving.experiments.bucketing import Range, ranges, sticky_key
from homefeed.serving.experiments.metrics import MetricName
from homefeed.serving.policy.conditions import Moment
from homefeed.serving.policy.rules import Name, PolicyError, read_models, read_yaml
from homefeed.serving.policy.surfaces import RowName, Surface, Surfaces
from homefeed.serving.releases.server_config import STABLE

Label = Literal["stable", "canary"]
Share = Annotated[float, Field(ge=0, le=1)]
INTERLEAVED = "interleaved"
"""The only arm of an experiment that interleaves."""
_OF_LISTS = ("diversity", "exploration", "mix", "rotation")
"""Fields of a surface that would change an interleaved order."""


class Changes(Surface):
    """Fields of a surface that an arm sets; those that it does not name stay as they are."""

    rows: Annotated[tuple[RowName, ...], Field(min_length=1)] = ("for_you",)

    @pydantic.model_validator(mode="after")
    def _check(self) -> Changes:  # What it makes of a surface is checked on each surface.
        return self

    @property
    def named(self) -> dict[str, Any]:
        """Field → what it is."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


class Arm(pydantic.BaseModel):
    """What some of the readers get.

    Attributes:
        weight: how many, beside the other arms'.
        model: label of the models that make their lists.
        surface: fields of the surface that are others for them, such as `diversity`.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    weight: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
    model: Label = "stable"
    surface: Changes = Changes()


class Experiment(pydantic.BaseModel):
    """Two or more arms, or two models on one page; the first arm is the control.

    Attributes:
        arms: name → what it is.
        interleave: labels of two models whose lists take turns on one page, instead of arms.
        unit: who stays in an arm: users who are known by an id, sessions of guests, or `visitor`: both; a session's
            arm goes over to its user.
        coverage: share of those who may be in it that are.
        layer: experiments of one layer never have the same readers; "": a layer of its own.
        part: of the layer that belongs to it.
        since, until: Unix seconds between which it runs, the last one not included.
        surfaces: that it is about; None: all.
        metric: by which it is decided.
        users: for how many of both arms its intervals are made as narrow as they can be.
        guardrails: metric → how much worse than the control an arm may be, in units of the metric, before everybody
            gets the control.
        seed: of the buckets; "": the name.
        hash_version: of the buckets, 1 or 2; 2 is better.
        version: of the buckets: with another one everybody is assigned anew, and a stopped experiment runs again.
        min_version: who was assigned in a version below it is out.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    arms: dict[Name, Arm] = {}
    interleave: tuple[Label, Label] | None = None
    unit: Literal["user", "session", "visitor"] = "visitor"
    coverage: Share = 1.0
    layer: str = ""
    part: tuple[Share, Share] = (0.0, 1.0)
    since: Moment | None = None
    until: Moment | None = None
    surfaces: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    metric: MetricName = "click_rate"
    users: Annotated[int, Field(ge=100, le=10**9)] = 10_000
    guardrails: dict[MetricName, Annotated[float, Field(ge=0)]] = {
        "click_rate": 0.0,
        "hide_rate": 0.0,
        "errors": 0.01,
        "latency": 50.0,
    }
    seed: str = ""
    hash_version: Literal[1, 2] = 2
    version: Annotated[int, Field(ge=0, le=1_000)] = 0
    min_version: Annotated[int, Field(ge=0, le=1_000)] = 0

    @pydantic.model_validator(mode="after")
    def _check(self) -> Experiment:
        if self.interleave is None and len(self.arms) < 2:
            raise ValueError("expected two or more `arms`, the control first, or `interleave: [stable, canary]`")
        if self.interleave is not None and (self.arms or self.interleave[0] == self.interleave[1]):
            raise ValueError("`interleave` names two labels, and stands without `arms`")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("`since` is not before `until`")
        if self.min_version > self.version:  # Who is assigned now would be out at their next page.
            raise ValueError(f"`min_version` {self.min_version} is above `version` {self.version}")
        if self.part[0] >= self.part[1]:
            raise ValueError("`part` is [from, to], from the smaller number to the greater")
        return self

    def runs(self, now: float) -> bool:
        """Whether it is on at a time, Unix seconds."""
        return (self.since is None or self.since <= now) and (self.until is None or now < self.until)

    def is_about(self, surface: str) -> bool:
        """Whether pages of a surface are meant."""
        return self.surfaces is None or surface in self.surfaces

    @property
    def names(self) -> tuple[str, ...]:
        """Of the arms, the control first."""
        return tuple(self.arms) or (INTERLEAVED,)

    @property
    def control(self) -> str:
        """The first arm."""
        return self.names[0]

    @property
    def shares(self) -> list[float]:
        """Of the readers in it, by arm."""
        weights = [arm.weight for arm in self.arms.values()] or [1.0]
        return [weight / sum(weights) for weight in weights]

    @property
    def ranges(self) -> list[Range]:
        """Part of the buckets of each arm."""
        return ranges(len(self.names), self.coverage, self.shares)

    def changes(self, arm: str) -> dict[str, Any]:
        """Field of a surface → what it is in an arm. An interleaved order must stay as it was drafted."""
        if self.interleave:
            return {
                name: Surface.model_fields[name].get_default() for name in _OF_LISTS if name in Surface.model_fields
            }
        return self.arms[arm].surface.named

    @property
    def touches(self) -> frozenset[str]:
        """What it changes: `model`, and fields of surfaces."""
        models = {"model"} if self.interleave or any(arm.model != STABLE for arm in self.arms.values()) else set()
        return frozenset(models.union(*(self.changes(arm) for arm in self.names)))


@dataclasses.dataclass(frozen=True)
class Experiments:
    """Experiments of one file.

    Attributes:
        by_name: in the order of the file.
        version: of the file's content; "": there is none.
    """

    by_name: Mapping[str, Experiment] = dataclasses.field(default_factory=dict)
    version: str = ""

    def get(self, name: str) -> Experiment:
        """An experiment.

        Raises:
            PolicyError: there is none of this name.
        """
        if name not in self.by_name:
            raise PolicyError(f"there is no experiment {name!r}{near(name, self.by_name)}")
        return self.by_name[name]

    def key(self, name: str) -> str:
        """Under which arms and stops of an experiment are remembered."""
        return sticky_key(name, self.get(name).version)

    @property
    def labels(self) -> frozenset[Label]:
        """Of the models that pages may be made with."""
        of_arms = {arm.model for one in self.by_name.values() for arm in one.arms.values()}
        return frozenset(of_arms.union(*(one.interleave or () for one in self.by_name.values())))

    @property
    def objectives(self) -> frozenset[str]:
        """That arms sort lists for."""
        changes = [one.changes(arm) for one in self.by_name.values() for arm in one.names]
        return frozenset(change["objective"] for change in changes if "objective" in change)

    def require_surfaces(self, surfaces: Surfaces, rules: Collection[str]) -> None:
        """Checks that every arm makes a surface that can be, on all surfaces that it is about.

        Raises:
            PolicyError: one does not, or two experiments change the same thing of the same readers.
        """
        for name, one in self.by_name.items():
            for surface in one.surfaces or ():
                if surface not in surfaces.by_name:
                    raise PolicyError(f"{name}: there is no surface {surface!r}{near(surface, surfaces.by_name)}")
            for arm in one.names:
                for surface in filter(one.is_about, surfaces.by_name):
                    changed = _changed(f"{name}: {arm} on {surface}", surfaces.by_name[surface], one.changes(arm))
                    Surfaces({f"{name}: {arm}": changed}).require_rules(rules)
        for (first, one), (second, other) in itertools.combinations(self.by_name.items(), 2):
            _require_apart(first, one, second, other, surfaces)


def _changed(place: str, surface: Surface, changes: Mapping[str, Any]) -> Surface:
    try:
        return Surface.model_validate(dict(surface) | dict(changes))
    except pydantic.ValidationError as error:
        raise PolicyError(f"{place}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error


def _require_apart(first: str, one: Experiment, second: str, other: Experiment, surfaces: Surfaces) -> None:
    is_together = (one.since or 0) < (other.until or float("inf")) and (other.since or 0) < (
        one.until or float("inf")
    )
    same_pages = [name for name in surfaces.by_name if one.is_about(name) and other.is_about(name)]
    same_readers = max(one.part[0], other.part[0]) < min(one.part[1], other.part[1])
    if not is_together or not same_pages:
        return
    if one.layer and one.layer == other.layer:
        if same_readers:
            raise PolicyError(f"{first} and {second} overlap in the layer {one.layer}: give them other `part`s of it")
    elif both := sorted(one.touches & other.touches):
        raise PolicyError(
            f"{first} and {second} both change {', '.join(both)} on {same_pages[0]}: put them into one `layer`, each "
            "with a `part` of its own"
        )


def read_experiments(path: pathlib.Path) -> Experiments:
    """Experiments from a YAML file: `variety: {arms: {control: {}, more: {surface: {diversity: {max_loss: 0.05}}}}}`.

    Raises:
        PolicyError: the file is missing, or says something else; all faults are told at once.
    """
    said, version = read_yaml(path, "experiments such as canary: {arms: {stable: {}, canary: {model: canary}}}")
    return Experiments(read_models(path, said, Experiment), version)
