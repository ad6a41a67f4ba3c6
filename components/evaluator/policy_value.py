"""What the new models would be worth on the page, by what came of slots that were filled by chance."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.components.evaluator.impressions import batches, html_table, markdown_table, requests_at
from homefeed.models.catalogue import Catalogue
from homefeed.models.exposures import Exposures
from homefeed.models.off_policy import estimators, slots
from homefeed.models.off_policy.estimators import Estimate
from homefeed.models.sequences import Sequences
from homefeed.models.shared.prediction_points import locate
from homefeed.serving.recommender import Recommender

POLICIES = {"the best first": 0.0, "drawn by scores": 1.0}
"""Name → temperature of a draw from the new models' candidates (`slots.probabilities`)."""
RANKS = np.array([1, 3, 10])  # Where parts of the candidates end; then all others, and last what is no candidate.
NUM_PARTS = len(RANKS) + 2
MAX_PLACES = 10  # That are told apart; the last one stands for all behind it too.

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Slots:
    """Slots that were left to chance; arrays are [num_slots].

    Attributes:
        users: [num_slots] object (bytes).
        page: which page each is on.
        group: place and part of the candidates of the card that was served, as one number.
        propensity: of that card.
        taken: 1 if it was.
        policies: name → probability of that card, and [num_slots, NUM_PARTS] of each part of the candidates.
    """

    users: npt.NDArray[np.object_]
    page: Ints
    group: Ints
    propensity: Floats
    taken: Floats
    policies: Mapping[str, tuple[Floats, Floats]]


def slots_by_chance(
    recommender: Recommender,
    exposures: Exposures | None,
    sequences: Sequences,
    catalogue: Catalogue,
    max_pages: int,
    batch_size: int,
) -> Slots | None:
    """What the models would have drawn where cards were drawn by chance; None where none was.

    Args:
        recommender: of the fused model, which is asked for its own candidates at the time of each page.
        exposures: of a split; None: nothing was shown.
        sequences: of the same split.
        catalogue: names the items.
        max_pages: of more, so many are taken evenly.
        batch_size: pages in one call.
    """
    if exposures is None:
        return None
    chance = _left_to_chance(exposures)
    chosen = exposures[np.flatnonzero(np.bincount(exposures.impression[chance], minlength=len(exposures)))]
    found, points = locate(chosen, sequences)
    some = np.linspace(0, len(found) - 1, min(len(found), max_pages)).astype(np.int64)
    pages, points = chosen[found[some]], points[some]
    if not len(pages):
        return None
    requests = requests_at(pages, points, sequences, catalogue)
    row_of = {item_id: row for row, item_id in enumerate(catalogue.item_ids)}
    parts: dict[str, list[tuple[Floats, Floats]]] = {name: [] for name in POLICIES}
    part_of_shown = []
    for which in batches(len(pages), batch_size):
        own = recommender.candidates([requests[at] for at in which])
        items = np.array([[row_of.get(item, 0) for item in ids] for ids in own.item_ids], np.int32)
        scores = np.where(items > 0, own.scores, -np.inf).astype(np.float64)
        shown, present = _columns(items, pages[which])
        part = _parts(scores)
        part_of_shown.append(np.where(shown >= 0, np.take_along_axis(part, shown, 1), NUM_PARTS - 1)[present])
        for name, temperature in POLICIES.items():
            parts[name].append(_drawn(scores, part, shown, present, temperature))
    chance = _left_to_chance(pages)
    place = np.minimum(pages.position, MAX_PLACES)[chance].astype(np.int64) - 1
    return Slots(
        users=pages.user_ids[pages.impression][chance],
        page=pages.impression[chance],
        group=place * NUM_PARTS + np.concatenate(part_of_shown)[chance],
        propensity=pages.propensity[chance].astype(np.float64),
        taken=pages.clicked[chance].astype(np.float64),
        policies={name: _joined(found, chance) for name, found in parts.items()},
    )


def _joined(batches: list[tuple[Floats, Floats]], which: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    of_shown, mass = (np.concatenate(columns) for columns in zip(*batches, strict=True))
    return of_shown[which], mass[which]


def _left_to_chance(exposures: Exposures) -> npt.NDArray[np.bool_]:
    """[num_shown]: of a card that had to stand where it stood, nobody can say what another had been worth."""
    return (exposures.propensity > 0) & (exposures.propensity < 1) & (exposures.position > 0)


def _columns(items: npt.NDArray[np.int32], pages: Exposures) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """[batch, num_slots] the candidate that each card is, or -1, from the top, and whether there is a card."""
    lengths = np.diff(pages.row_splits)
    present = np.arange(lengths.max()) < lengths[:, None]
    shown = np.zeros(present.shape, np.int32)
    shown[present] = pages.item_index
    same = (shown[:, :, None] == items[:, None, :]) & (shown[:, :, None] > 0)
    return np.where(same.any(axis=2), same.argmax(axis=2), -1), present


def _parts(scores: Floats) -> Ints:
    """[batch, num_candidates] which part of the candidates each belongs to, by its rank."""
    rank = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1) + 1
    return np.searchsorted(RANKS, rank).astype(np.int64)


def _drawn(
    scores: Floats, part: Ints, shown: Ints, present: npt.NDArray[np.bool_], temperature: float
) -> tuple[Floats, Floats]:
    """[num_shown] probabilities of the cards, and [num_shown, NUM_PARTS] of each part of the candidates."""
    of_shown, mass = np.zeros(shown.shape), np.zeros((*shown.shape, NUM_PARTS))
    for slot, probability in enumerate(slots.probabilities(scores, shown, temperature)):
        of_shown[:, slot] = slots.of_shown(probability, shown[:, slot])
        for number in range(NUM_PARTS - 1):
            mass[:, slot, number] = np.where(part == number, probability, 0).sum(axis=1)
    return of_shown[present], mass[present]


def describe_value(found: Slots | None, margin: float) -> dict[str, Any] | None:
    """Shares of cards taken, with 95% intervals by users: as served, and of each policy; None without slots.

    A policy's figures are None where its support is too small for a relative error of `margin`, or where more than
    this share of what it would show could not have been served: nothing is extrapolated.

    Returns:
        `pages`, `slots`, `served`, and `policies`: name → `snips`, `doubly_robust` and `gain` (doubly robust, less
        what was served), each mean and interval; `effective_sample_size`; `could_be_served`, a share of what the
        policy would show; `clipped`, the share of slots whose weight was cut to the root of their number (Ionides,
        2008); `more_pages` like these that are lacking, None: no number of them would do; and `support` in words.
    """
    if found is None:
        return None
    served = estimators.on_policy(found.taken, found.users)
    num_pages, most = len(np.unique(found.page)), math.sqrt(len(found.taken))
    means, half = estimators.cross_fitted(found.group, found.taken, found.users, MAX_PLACES * NUM_PARTS)
    predicted = means[half, found.group]
    of_place = means.reshape(2, MAX_PLACES, NUM_PARTS)[half, found.group // NUM_PARTS]
    policies = {}
    for name, (probability, mass) in found.policies.items():
        rows = found.taken, probability / found.propensity, found.users
        snips = estimators.snips(*rows, max_weight=most)
        robust = estimators.doubly_robust(*rows, predicted, (mass * of_place).sum(axis=1), max_weight=most)
        could, most_that_could = min(snips.mean_weight, 1.0), estimators.on_policy(rows[1], found.users).interval[1]
        more = estimators.more_needed(snips.value, snips.effective_sample_size, num_pages, margin)
        support = _support(more) + (f"; {snips.clipped:.2%} of the weights were cut" if snips.clipped else "")
        if (could if more == 0 else most_that_could) < 1 - margin:
            more, support = None, f"too small: {1 - could:.0%} of what it shows could not have been served"
        figures = {"snips": snips, "doubly_robust": robust, "gain": robust.less(served)}
        policies[name] = {
            **{figure: _with_interval(of) if more == 0 else None for figure, of in figures.items()},
            "effective_sample_size": snips.effective_sample_size,
            "could_be_served": could,
            "clipped": snips.clipped,
            "more_pages": more,
            "support": support,
        }
    return {
        "pages": num_pages,
        "slots": len(found.taken),
        "served": _with_interval(served),
        "policies": policies,
    }


def _support(more_pages: int | None) -> str:
    if more_pages == 0:
        return "enough"
    return "too small: nothing was taken" if more_pages is None else f"too small: needs {more_pages:,} more pages"


def _with_interval(estimate: Estimate) -> list[float | None]:
    """The ends are None where they are infinite: JSON knows no infinity."""
    return [value if math.isfinite(value) else None for value in (estimate.value, *estimate.interval)]


def means_of(described: Mapping[str, Any] | None) -> dict[str, float]:
    """Metric → mean, of the best first, as `metrics.json` has it; without values where the support is too small."""
    if described is None:
        return {}
    found = described["policies"][next(iter(POLICIES))]
    values = {name: found[name][0] for name in ("snips", "doubly_robust") if found[name]}
    return {**values, "effective_sample_size": found["effective_sample_size"]}


def rows(described: Mapping[str, Any]) -> Iterator[list[str]]:
    """Cells of a table for people."""
    for split, found in described.items():
        if found is None:
            continue
        yield [split, "as served", span(found["served"]), "", "", f"{found['slots']:,}", "", ""]
        for name, of in found["policies"].items():
            figures = [span(of[figure]) for figure in ("snips", "doubly_robust", "gain")]
            size, could = f"{of['effective_sample_size']:,.1f}", f"{of['could_be_served']:.1%}"
            yield [split, name, *figures, size, could, of["support"]]


def span(figures: Sequence[float | None] | None, written: str = "{:.4f}") -> str:
    """Value and interval in words, each number as it is to be written."""
    if not figures or figures[0] is None:
        return ""
    value, low, high = figures
    ends = "" if low is None or high is None else f" ({written} to {written})".format(low, high)
    return written.format(value) + ends


TITLE = "Value of the policy"
HEADER = (
    "split", "policy", "SNIPS", "doubly robust", "gained over served", "effective sample size", "could be served",
    "support",
)  # fmt: skip
EXPLAINED = (
    "How large a share of the cards would have been taken if the new models had filled the slots that were left to "
    "chance, each below the cards that were served above it, by what came of the cards that were drawn: weighted by "
    "inverse propensity (SNIPS), and as a correction of a model of what is taken (doubly robust). With 95% intervals "
    "by users. Where the support is too small, nothing is said."
)


def to_html(described: Mapping[str, Any]) -> str:
    """A part of the report; nothing where nothing was left to chance."""
    return html_table(TITLE, EXPLAINED, HEADER, rows(described))


def to_markdown(described: Mapping[str, Any]) -> str:
    """A part of the model card; nothing where nothing was left to chance."""
    return markdown_table(TITLE, EXPLAINED, HEADER, rows(described))
