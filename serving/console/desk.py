"""What views and changes of the console have at hand."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from homefeed.serving.console.jobs import Jobs
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.profiles.wishes import Wishes

Asked = Mapping[str, str]
"""Fields of an address, or of a form."""
Facts = dict[str, Any]
"""What a template is given."""


class NotThere(Exception):  # noqa: N818  An answer, not a fault.
    """There is no such page of the console."""


@dataclasses.dataclass(frozen=True)
class Desk:
    """The gateway as the console sees it.

    Attributes:
        home: pages, profiles, models and rules.
        metrics: what it counts.
        jobs: verbs under way.
    """

    home: Home
    metrics: Metrics
    jobs: Jobs = dataclasses.field(default_factory=Jobs)

    @property
    def wishes(self) -> Wishes:
        """Who is to be forgotten."""
        return Wishes(self.home.config.trail_dir)

    @property
    def serving_dir(self) -> pathlib.Path:
        """Where models and profiles are published."""
        return self.home.config.serving_dir

    @property
    def root(self) -> pathlib.Path:
        """Of the runs that publish there."""
        return self.serving_dir.parent

    def title(self, item_id: str) -> str:
        """What an item is called."""
        return self.home.known.published.items.titles.get(item_id, item_id)


@dataclasses.dataclass(frozen=True)
class Done:
    """What came of a change.

    Attributes:
        notice: key of a sentence.
        about: what stands in it.
        page: of the console, that is shown next.
        query: its address.
    """

    notice: str
    about: str = ""
    page: str = ""
    query: Mapping[str, str] = dataclasses.field(default_factory=dict)
