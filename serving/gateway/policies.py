"""The files of rules, surfaces and experiments: read when they change, checked, and only then in force."""

from __future__ import annotations

import dataclasses
import logging
import pathlib

from homefeed.serving.experiments.design import Experiments, read_experiments
from homefeed.serving.gateway.published import Published
from homefeed.serving.policy.files import Mark, mark_of
from homefeed.serving.policy.rules import PolicyError, Rules, read_rules
from homefeed.serving.policy.ruling import Ruling
from homefeed.serving.policy.surfaces import Surfaces, read_surfaces

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Policy:
    """What is in force, and the catalogue that it stands to: pages are made of both, and both are swapped as one.

    Attributes:
        published: profiles and items of a push.
        surfaces: by name.
        ruling: rules, as they stand to its items.
        experiments: that change what of these counts for some.
    """

    published: Published
    surfaces: Surfaces
    ruling: Ruling
    experiments: Experiments = dataclasses.field(default_factory=Experiments)

    @property
    def version(self) -> str:
        """Of rules and surfaces; "": there are no files."""
        return "-".join(filter(None, (self.ruling.rules.version, self.surfaces.version)))

    def title(self, item_id: str) -> str:
        """What an item is called; one that nobody may be shown goes by its id."""
        return item_id if self.ruling.is_denied(item_id) else self.published.items.titles.get(item_id, item_id)

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
        published: profiles and items of the last push.

    Attributes:
        policy: in force.
        denied: rule → items that it keeps off every page.

    Raises:
        PolicyError: a file cannot be used.
    """

    def __init__(
        self,
        rules: pathlib.Path | None,
        surfaces: pathlib.Path | None,
        published: Published,
        experiments: pathlib.Path | None = None,
    ):
        self._files = rules, surfaces, experiments
        self._marks, self._of_files, self._of_push = self._look(), "", ""
        self.policy = read_policy(rules, surfaces, published, experiments)
        self.denied = self.policy.ruling.denied()

    @property
    def fault(self) -> str:
        """Why a file as it is now, or the last push, is not in force; "": they are."""
        return "; ".join(filter(None, (self._of_files, self._of_push)))

    def follow(self, published: Published) -> None:
        """Takes over what the files say now, if it is right, and a new push, if it fits; else all stays as it was."""
        before, marks = self.fault, self._look()
        # What a faulty file names may be mended without it.
        if marks != self._marks or self._has_moved() or self._of_files:
            self._marks, self._of_files = marks, self._read_again(published)
        self._of_push = self._take_over(published)
        if self.fault and self.fault != before:
            _logger.warning("policy %s stays in force: %s", self.policy.version or "without rules", self.fault)

    def _read_again(self, published: Published) -> str:
        """Puts in force what the files say; where it does not fit a new push, beside the catalogue of before.

        Gives what is wrong with them.
        """
        rules, surfaces, experiments = self._files
        faults = []
        for catalogue in [published, self.policy.published][: 1 + (published is not self.policy.published)]:
            try:
                self._put_in_force(read_policy(rules, surfaces, catalogue, experiments))
                _logger.info("policy %s is in force", self.policy.version)
                return ""
            except PolicyError as error:
                faults.append(str(error))
        return faults[0]

    def _take_over(self, published: Published) -> str:
        """The rules in force for a new push; gives what it lacks of what they ask for.

        A push without a column that a denial or a strict rule asks for is left alone: what was kept off by that
        column would be shown. The catalogue of before stays, with its verdicts.
        """
        rules, items = self.policy.ruling.rules, published.items
        if closing := rules.faults(items.columns, only_strict=True) if items.cards else []:
            return f"{'; '.join(closing)}; the last push is not taken over: push such a column, or change the rule"
        if self.policy.published is not published:
            ruling = Ruling(rules, items.cards, items.popular)
            self._put_in_force(dataclasses.replace(self.policy, published=published, ruling=ruling))
        faults = rules.faults(items.columns) if items.cards else []
        return f"{'; '.join(faults)}; since the last push this matches nothing" if faults else ""

    def _put_in_force(self, policy: Policy) -> None:
        """All that is new in one step; its verdicts are found before, because pages are made meanwhile."""
        denied = policy.ruling.denied()
        self.policy, self.denied = policy, denied

    def _look(self) -> tuple[Mark, ...]:
        return tuple(mark_of(path) if path else None for path in self._files)

    def _has_moved(self) -> bool:
        """Whether a file that the rules name is another one than was read."""
        return any(mark_of(path) != mark for path, mark in self.policy.ruling.rules.files.items())


def read_policy(
    rules: pathlib.Path | None,
    surfaces: pathlib.Path | None,
    published: Published,
    experiments: pathlib.Path | None = None,
    folder: pathlib.Path | None = None,
) -> Policy:
    """Rules, surfaces and experiments that fit each other and the catalogue.

    Args:
        rules, surfaces, experiments: the files; None: there is none.
        published: profiles and items of a push.
        folder: where the files are that the rules name; None: beside them.

    Raises:
        PolicyError: they do not, or a file is wrong.
    """
    said = read_rules(rules, folder) if rules else Rules()
    kinds = read_surfaces(surfaces) if surfaces else Surfaces()
    try:
        if published.items.cards:  # Before the first push nobody knows the columns.
            said.require_columns(published.items.columns)
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
    return Policy(published, kinds, Ruling(said, published.items.cards, published.items.popular), trials)
