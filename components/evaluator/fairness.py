"""Quality, calibration and exposure in groups of readers and of items, for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from homefeed.components.evaluator import group_checks, groups
from homefeed.components.evaluator.impressions import html_table, markdown_table
from homefeed.components.evaluator.measured import RANKING_ROW, Measured
from homefeed.components.evaluator.policy_value import span
from homefeed.components.evaluator.queries import GroupLimits
from homefeed.models.catalogue import Catalogue
from homefeed.models.evaluation import metrics
from homefeed.models.evaluation.resampling import Floats, UserBootstrap, interval
from homefeed.models.sequences import Sequences
from homefeed.schemas.objectives import INTERACTIONS


def describe_groups(
    found: Measured,
    sequences: Sequences,
    train: Sequences,
    catalogue: Catalogue,
    wordpiece: Sequence[str],
    limits: GroupLimits,
    in_service: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Figures of all groups of a split; arguments as of `group_checks.check_groups`.

    Returns:
        `guarded`, as from `group_checks.check_groups`.
        `readers`: name → `users`, `queries`, `ndcg@10` and `liked_gap`: P(liked) predicted less happened, of what was
        chosen and retrieved.
        `items`: name → `items`, the `queries` for them with both figures, and their shares of the `catalogue`, of
        what is `shown` in the first ten places, and of what was `chosen`.
        Figures are mean, low and high end of a 95% interval (bootstrap over users); None of nothing.
    """
    bootstrap = UserBootstrap(found.queries.rows)
    of_users = groups.at_queries(groups.guarded_users(sequences, train), found.queries)
    readers = of_users | groups.readers(found.queries, sequences, catalogue, wordpiece)
    of_items = groups.items(sequences, train, catalogue)
    checked = group_checks.check_groups(found, sequences, train, limits, in_service)
    return {
        "guarded": checked,
        "readers": _quality(found, readers, bootstrap),
        "items": _exposure(found, of_items, bootstrap),
    }


def _quality(found: Measured, masks: groups.Groups, bootstrap: UserBootstrap) -> dict[str, dict[str, Any]]:
    if not masks or not len(found.queries):
        return {}
    chosen = np.stack(list(masks.values()), axis=1)
    gains = metrics.ndcg(found.ranks[RANKING_ROW], 10) * found.weights
    known = np.isfinite(found.probabilities)
    gaps = np.where(known, found.probabilities - found.positive, 0.0)
    figures = bootstrap.means(gains, chosen), bootstrap.means(gaps, chosen & known[:, None])
    return {
        name: {
            "users": len(np.unique(found.queries.rows[mask])),
            "queries": int(mask.sum()),
            "ndcg@10": _figure(figures[0][:, at]),
            "liked_gap": _figure(figures[1][:, at]),
        }
        for at, (name, mask) in enumerate(masks.items())
    }


def _exposure(found: Measured, masks: groups.Groups, bootstrap: UserBootstrap) -> dict[str, dict[str, Any]]:
    if not masks or not len(found.queries):
        return {}
    quality = _quality(found, {name: mask[found.queries.targets] for name, mask in masks.items()}, bootstrap)
    rows = found.shown.rows
    slots = bootstrap.sums((rows > 0).sum(axis=1).astype(np.float64))
    for name, mask in masks.items():
        shown = bootstrap.sums((mask[rows] & (rows > 0)).sum(axis=1).astype(np.float64))
        quality[name] |= {
            "items": int(mask.sum()),
            "catalogue": float(mask[1:].mean()),
            "shown": _figure(shown / np.maximum(slots, 1)),
            "chosen": float(mask[found.queries.targets].mean()),
        }
    return quality


def _figure(found: Floats) -> list[float] | None:
    return [float(found[0]), *interval(found)] if np.isfinite(found[0]) else None


def means_of(described: Mapping[str, Any], objective: str) -> dict[str, float]:
    """Metric → mean of guarded groups, as `metrics.json` has it; NDCG@10 is of what the objective sorts for."""
    names = {"ndcg@10": "ndcg@10" if objective == INTERACTIONS else f"ndcg@10 {objective}", "liked_gap": "liked_gap"}
    return {
        f"{names[metric]} of {name}": figures[metric][0]
        for name in described["guarded"]["groups"]
        if (figures := described["readers"].get(name))
        for metric in names
        if figures[metric]
    }


GUARDED, READERS, ITEMS = "Guarded groups", "Groups of readers", "Groups of items"
CHECKED = (
    "Each group that `guard` declares, against what it is measured by. Others alike: what all other users' queries "
    "would get, had they as long histories, as popular targets, as many searches. Its part later, or the "
    "data of the models in service: how active its users are in training beside others, less the same there, which "
    "shows events that were lost. At most: the upper "
    "bound that holds for all comparisons together; on eval it closes the blessing where it is below minus the "
    "margin. Findable: the loss that would close it in four of five data sets like this one; a smaller one may stand "
    "unseen."
)
OF_READERS = (
    "NDCG@10 of what lists are sorted for, and P(liked) predicted less happened of what was chosen, with 95% "
    "intervals (bootstrap over users). Groups overlap."
)
OF_ITEMS = (
    "The same of questions whose answer is in the group, and how much of the first ten places its items have, beside "
    "their shares of the catalogue and of what was chosen."
)
_CHECK_HEADER = ("split", "group", "users", "against", "loss or gain", "at most", "margin", "findable", "")
_READER_HEADER = ("split", "group", "users", "queries", "NDCG@10", "P(liked) off by")
_ITEM_HEADER = ("split", "group", "items", "of catalogue", "of places", "of chosen", *_READER_HEADER[3:])


def _checked(described: Mapping[str, Any]) -> Iterator[list[str]]:
    for split, found in described.items():
        for name, group in found["guarded"]["groups"].items():
            start = [split, name, f"{group['users']:,}"]
            too_few = group.get("too_few", ())  # Which evaluations of before do not have.
            if not group["checks"] and not too_few:
                yield [*start, "too small to be judged", "", "", "", "", ""]
            for against in too_few:
                yield [*start, against, "too few, not judged", "", "", "", ""]
            for against, one in group["checks"].items():
                relative = "{:+.1%} ({:+.1%} to {:+.1%})".format(one["relative"], *one["interval"])
                ends = f"{one['bound']:+.1%}", f"{one['margin']:.0%}", f"{one['findable']:.0%}"
                yield [*start, against, relative, *ends, "worse" if one["closes"] else ""]


def _read(described: Mapping[str, Any]) -> Iterator[list[str]]:
    for split, found in described.items():
        for name, one in found["readers"].items():
            yield [split, name, f"{one['users']:,}", *_cells(one)]


def _of_items(described: Mapping[str, Any]) -> Iterator[list[str]]:
    for split, found in described.items():
        for name, one in found["items"].items():
            shares = f"{one['catalogue']:.1%}", span(one["shown"], "{:.1%}"), f"{one['chosen']:.1%}"
            yield [split, name, f"{one['items']:,}", *shares, *_cells(one)]


def _cells(one: Mapping[str, Any]) -> list[str]:
    return [f"{one['queries']:,}", span(one["ndcg@10"]), span(one["liked_gap"], "{:+.3f}")]


def to_html(described: Mapping[str, Any]) -> str:
    """A part of the report; nothing without groups."""
    return (
        html_table(GUARDED, CHECKED, _CHECK_HEADER, _checked(described))
        + html_table(READERS, OF_READERS, _READER_HEADER, _read(described))
        + html_table(ITEMS, OF_ITEMS, _ITEM_HEADER, _of_items(described))
    )


def to_markdown(described: Mapping[str, Any]) -> str:
    """A part of the model card; nothing without groups."""
    return (
        markdown_table(GUARDED, CHECKED, _CHECK_HEADER, _checked(described))
        + markdown_table(READERS, OF_READERS, _READER_HEADER, _read(described))
        + markdown_table(ITEMS, OF_ITEMS, _ITEM_HEADER, _of_items(described))
    )
