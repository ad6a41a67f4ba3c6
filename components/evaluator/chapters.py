"""What an evaluation tells beside its figures of ranking, chapter by chapter, on page and model card alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from homefeed.components.evaluator import card_rates, fairness, impressions, policy_value, reasons, robustness


class Chapter(Protocol):
    """A module that draws what its `describe_…` or `measure_…` found; nothing found, nothing drawn."""

    def to_html(self, described: Any, /) -> str:
        """For the page."""

    def to_markdown(self, described: Any, /) -> str:
        """For the model card."""


CHAPTERS: Mapping[str, Chapter] = {
    "card_rates": card_rates,
    "groups": fairness,
    "robustness": robustness,
    "impressions": impressions,
    "policy_value": policy_value,
    "faithfulness": reasons,
}
"""Key of the report → who draws it, in the order of page and card."""


def to_html(report: Mapping[str, Any]) -> str:
    """All chapters of a report."""
    return "".join(chapter.to_html(report[name]) for name, chapter in CHAPTERS.items())


def to_markdown(report: Mapping[str, Any]) -> str:
    """All chapters of a report."""
    return "".join(chapter.to_markdown(report[name]) for name, chapter in CHAPTERS.items())
