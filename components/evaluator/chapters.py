"""What an evaluation tells beside its figures of ranking, chapter by chapter, on page and model card alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from homefeed.components.evaluator import card_rates, fairness, impressions, policy_value, reasons, robustness
from homefeed.components.evaluator.measured import Measured
from homefeed.components.evaluator.queries import GroupLimits
from homefeed.models.catalogue import Catalogue
from homefeed.models.exposures import Exposures
from homefeed.models.sequences import Sequences
from homefeed.serving.recommender import Recommender

if TYPE_CHECKING:
    from homefeed.models.text.text_model import TextModel

TEST = "test"


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


@dataclasses.dataclass(frozen=True)
class Material:
    """What chapters are made of; mappings are by split.

    Attributes:
        recommender: the new models.
        text: their text model.
        wordpiece: its vocabulary.
        catalogue: what can be recommended.
        train: what was learnt from.
        sequences: what was asked about.
        exposures: what was shown; None: nothing is known of it.
        found: the figures of ranking.
        max_queries, batch_size: as of the Evaluator's Config.
        value_error: as there.
        groups: when a group is judged, and how much worse it may be.
        activity: of guarded groups in the data of the models in service; None: nothing is known of it.
    """

    recommender: Recommender
    text: TextModel
    wordpiece: Sequence[str]
    catalogue: Catalogue
    train: Sequences
    sequences: Mapping[str, Sequences]
    exposures: Mapping[str, Exposures | None]
    found: Mapping[str, Measured]
    max_queries: int
    batch_size: int
    value_error: float
    groups: GroupLimits
    activity: Mapping[str, Any] | None


def describe(of: Material) -> dict[str, Any]:
    """Chapter → what was found; reasons and robustness of `test`, the others by split."""
    first_event = card_rates.first_events([of.train, *of.sequences.values()])
    chapters: dict[str, Any] = {name: {} for name in ("card_rates", "groups", "impressions", "policy_value")}
    for split, sequences in of.sequences.items():
        exposures = of.exposures[split]
        asked = of.recommender, exposures, sequences, of.catalogue, of.max_queries, of.batch_size
        chapters["card_rates"][split] = card_rates.describe_rates(exposures, of.catalogue, first_event)
        chapters["groups"][split] = fairness.describe_groups(
            of.found[split], sequences, of.train, of.catalogue, of.wordpiece, of.groups, of.activity
        )
        chapters["impressions"][split] = impressions.describe_shown(impressions.measure_shown(*asked))
        slots = policy_value.slots_by_chance(*asked)
        chapters["policy_value"][split] = policy_value.describe_value(slots, of.value_error)
    asked_about = of.found[TEST].queries, of.sequences[TEST], of.catalogue
    chapters["faithfulness"] = reasons.measure_reasons(of.recommender, *asked_about)
    chapters["robustness"] = robustness.measure_robustness(
        of.recommender, of.text, *asked_about, of.wordpiece, of.batch_size
    )
    return chapters


def means_of(chapters: Mapping[str, Any], found: Mapping[str, Measured], split: str) -> dict[str, float]:
    """Metric → mean, of what chapters add to `metrics.json` for a split."""
    means = policy_value.means_of(chapters["policy_value"][split])
    means |= fairness.means_of(chapters["groups"][split], found[split].objective)
    return means | (reasons.means_of(chapters["faithfulness"]) if split == TEST else {})


def to_html(report: Mapping[str, Any]) -> str:
    """All chapters of a report."""
    return "".join(chapter.to_html(report[name]) for name, chapter in CHAPTERS.items())


def to_markdown(report: Mapping[str, Any]) -> str:
    """All chapters of a report."""
    return "".join(chapter.to_markdown(report[name]) for name, chapter in CHAPTERS.items())
