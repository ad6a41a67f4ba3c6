"""Surfaces: the pages that a site has, and what each is made of. See docs/page_policy.md."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Collection, Mapping
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from homefeed.schemas.words import near
from homefeed.serving.policy.diversity import Diversity
from homefeed.serving.policy.errors import NotFound
from homefeed.serving.policy.exploration import Exploration
from homefeed.serving.policy.rules import PolicyError, read_models, read_yaml

RowName = Literal[
    "for_you", "similar", "search", "because", "more_of", "friends", "trending", "new", "near_taste", "popular",
    "editors",
]  # fmt: skip
Source = Literal[
    "model", "similar", "more_of", "friends", "hot", "trending", "new", "near_taste", "popular", "editors"
]  # fmt: skip
"""Where candidates come from; `model` is whatever rung answers, `hot` what is hot now, as it suits the reader."""
HOME = "home"
WEEK = 24.0 * 7  # Hours.


class Surface(pydantic.BaseModel):
    """One kind of page.

    Attributes:
        rows: from the top; those that have no cards are left out. `similar` needs an item, `search` a query.
        length: cards of a row, where a request does not say.
        rules: names of the rules that count on it; None: all.
        mix: row → source → how many cards of each so many in turn; a row that is not here has its own source alone.
        diversity: of the first row; None: as the lists come.
        exploration: what of the first row is left to chance, on pages of the best models; None: nothing.
        rotation: hours after which half of what was seen and not acted on is forgotten, until when it stands lower
            in the first row (impression discounting: Lee et al., KDD 2014); None: it stands where it stood.
        objective: what the lists of this surface are for.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    rows: Annotated[tuple[RowName, ...], Field(min_length=1)]
    length: Annotated[int, Field(ge=1, le=50)] = 12
    rules: tuple[str, ...] | None = None
    mix: dict[RowName, dict[Source, Annotated[int, Field(ge=1, le=100)]]] = {}
    diversity: Diversity | None = None
    exploration: Exploration | None = None
    rotation: Annotated[float, Field(gt=0, le=24 * 365)] | None = None
    objective: str = ""

    @property
    def needs_similar(self) -> bool:
        """Whether anything on it is like an item."""
        mixed = any("similar" in mix for mix in self.mix.values())
        return mixed or "similar" in self.rows or "because" in self.rows

    @property
    def needs_hot(self) -> bool:
        """Whether it shows what is hot now."""
        return "trending" in self.rows or any({"hot", "trending"} & mix.keys() for mix in self.mix.values())

    def needs(self, source: Source) -> bool:
        """Whether it has a row of a source's own, or one that is mixed from it."""
        return source in self.rows or any(source in mix for mix in self.mix.values())

    @pydantic.model_validator(mode="after")
    def _check(self) -> Surface:
        if len(set(self.rows)) != len(self.rows):
            raise ValueError(f"a row is named twice in {', '.join(self.rows)}")
        for row in self.mix:
            if row not in self.rows:
                raise ValueError(f"mix: {row} is none of its rows{near(row, self.rows)}")
        return self


DEFAULTS: Mapping[str, Surface] = {
    HOME: Surface(
        rows=("for_you", "because", "more_of", "friends", "new", "near_taste", "editors"),
        diversity=Diversity(),
        rotation=WEEK,
    ),
    "similar": Surface(rows=("similar",)),
    "search": Surface(rows=("search",)),
    "email": Surface(rows=("for_you", "new"), length=6, diversity=Diversity()),
}
"""The surfaces that there are without a file; one of the same name in a file takes its place."""


@dataclasses.dataclass(frozen=True)
class Surfaces:
    """The surfaces of a site.

    Attributes:
        by_name: those of the file, and the defaults.
        version: of the file's content; "": there is none.
    """

    by_name: Mapping[str, Surface] = dataclasses.field(default_factory=lambda: DEFAULTS)
    version: str = ""

    def get(self, name: str) -> Surface:
        """A surface.

        Raises:
            NotFound: there is none of this name, as a field and a reason.
        """
        if name not in self.by_name:
            raise NotFound(f"surface: there is none named {name!r}{near(name, self.by_name)}")
        return self.by_name[name]

    def require_rules(self, names: Collection[str]) -> None:
        """Checks that the rules that are named exist.

        Raises:
            PolicyError: one does not.
        """
        for surface, described in self.by_name.items():
            for name in described.rules or ():
                if name not in names:
                    raise PolicyError(f"{surface}: there is no rule {name!r}{near(name, names)}")


def read_surfaces(path: pathlib.Path) -> Surfaces:
    """Surfaces from a YAML file: `name: {rows: [for_you, new]}`.

    Raises:
        PolicyError: the file is missing, or says something else; all faults are told at once.
    """
    said, version = read_yaml(path, "surfaces such as home: {rows: [for_you, new]}")
    return Surfaces({**DEFAULTS, **read_models(path, said, Surface)}, version)
