"""The files of rules, surfaces and experiments: read when they change, checked, and only then in force."""

from __future__ import annotations

import dataclasses
import logging
import pathlib

from homefeed.serving.experiments.design import Experiments, read_experiments
from homefeed.serving.gateway.items import Items
from homefeed.serving.policy.rules import PolicyError, Rules, read_rules
from homefeed.serving.policy.ruling import Ruling
from homefeed.serving.policy.surfaces import Surfaces, read_surfaces

_logger = logging.getLogger(__name__)
Mark = tuple[tuple[int, int, int] | None, ...]


@dataclasses.dataclass(frozen=True)
class Policy:
    """What is in force.

    Attributes:
        surfaces: by name.
        ruling: rules, as they stand to the catalogue.
        experiments: that change what of these counts for some.
    """

    surfaces: Surfaces
    ruling: Ruling
    experiments: Experiments = dataclasses.field(default_factory=Experiments)

    @property
    def version(self) -> str:
        """Of rules and surfaces; "": there are no files."""
        return "-".join(filter(None, (self.ruling.rules.version, self.surfaces.version)))

    @property
    def objectives(self) -> frozenset[str]:
        """What lists of surfaces, and of their arms, are sorted for."""
        of_surfaces = {surface.objective for surface in self.surfaces.by_name.values()}
        return frozenset(of_surfaces | self.experiments.objectives) - {""}

    @property
    def versions(self) -> dict[str, str]:
        """Kind of file → version of what it says; "": there is no file."""
        found = self.ruling.rules, self.surfaces, self.experiments
        return dict(zip(("rules", "surfaces", "experiments"), (one.version for one in found), strict=True))


class Policies:
    """Follows three files.

    Args:
        rules, surfaces, experiments: the files; None: there is none.
        items: the catalogue.

    Attributes:
        policy: in force.
        fault: why a file as it is now is not in force; "": it is.
        denied: rule → items that it keeps off every page.

    Raises:
        PolicyError: a file cannot be used.
    """

    def __init__(
        self,
        rules: pathlib.Path | None,
        surfaces: pathlib.Path | None,
        items: Items,
        experiments: pathlib.Path | None = None,
    ):
        self._files = rules, surfaces, experiments
        self._mark, self.fault = self._look(), ""
        self.policy = read_policy(rules, surfaces, items, experiments)
        self._beside, self.denied = self._look_beside(), self.policy.ruling.denied()

    def follow(self, items: Items) -> None:
        """Takes over what a file says now, if it is right, and a new catalogue; else all stays as it was."""
        mark = self._look()
        beside = self._look_beside()
        # What a faulty file names may be mended without it.
        if mark != self._mark or beside != self._beside or self.fault:
            self._mark, self._beside = mark, beside
            self._read_again(items)
        if not self.policy.ruling.is_of(items.cards):
            self._apply_to(items)

    def _apply_to(self, items: Items) -> None:
        """The same rules for a new catalogue, which may lack a column that they ask for: then they match nothing."""
        rules = self.policy.ruling.rules
        self.policy = dataclasses.replace(self.policy, ruling=Ruling(rules, items.cards, items.popular))
        self.denied = self.policy.ruling.denied()
        try:
            rules.require_columns(items.columns)
        except PolicyError as error:
            self.fault = self.fault or f"{error}; since the last push this rule matches nothing"
            _logger.warning("%s", self.fault)

    def _read_again(self, items: Items) -> None:
        try:
            rules, surfaces, experiments = self._files
            self.policy, self.fault = read_policy(rules, surfaces, items, experiments), ""
            self._beside, self.denied = self._look_beside(), self.policy.ruling.denied()
            _logger.info("policy %s is in force", self.policy.version)
        except PolicyError as error:
            if str(error) != self.fault:
                _logger.warning("policy %s stays in force: %s", self.policy.version or "without rules", error)
            self.fault = str(error)

    def _look(self) -> Mark:
        return tuple(map(_mark, self._files))

    def _look_beside(self) -> Mark:
        """At the files that the rules name."""
        return tuple(map(_mark, self.policy.ruling.rules.files))


def read_policy(
    rules: pathlib.Path | None,
    surfaces: pathlib.Path | None,
    items: Items,
    experiments: pathlib.Path | None = None,
) -> Policy:
    """Rules, surfaces and experiments that fit each other and the catalogue.

    Raises:
        PolicyError: they do not, or a file is wrong.
    """
    said = read_rules(rules) if rules else Rules()
    kinds = read_surfaces(surfaces) if surfaces else Surfaces()
    try:
        if items.cards:  # Before the first push nobody knows the columns.
            said.require_columns(items.columns)
    except PolicyError as error:
        raise PolicyError(f"{rules}: {error}") from error
    try:
        kinds.require_rules(said.by_name)
    except PolicyError as error:
        raise PolicyError(f"{surfaces}: {error}") from error
    trials = read_experiments(experiments) if experiments else Experiments()
    try:
        trials.require_surfaces(kinds, said.by_name)
    except PolicyError as error:
        raise PolicyError(f"{experiments}: {error}") from error
    return Policy(kinds, Ruling(said, items.cards, items.popular), trials)


def _mark(path: pathlib.Path | None) -> tuple[int, int, int] | None:
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ino, found.st_size) if found else None
