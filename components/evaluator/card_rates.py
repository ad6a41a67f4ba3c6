"""What became of cards that were shown: clicks, likes, hides and purchases, of all and of groups of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.components.evaluator.impressions import html_table, markdown_table
from homefeed.components.evaluator.policy_value import span
from homefeed.models.catalogue import Catalogue
from homefeed.models.exposures import Exposures
from homefeed.models.off_policy import estimators
from homefeed.models.off_policy.estimators import Estimate
from homefeed.models.sequences import Sequences
from homefeed.serving.experiments.groups import MAX_LANGUAGES, NEW_SECONDS

RATES = ("click_rate", "like_rate", "hide_rate", "conversion")

Mask = npt.NDArray[np.bool_]


def first_events(splits: Iterable[Sequences]) -> dict[bytes, int]:
    """User → Unix second of their first event in any split."""
    found: dict[bytes, int] = {}
    for sequences in splits:
        starts, stops = sequences.row_splits[:-1], sequences.row_splits[1:]
        some = np.flatnonzero(stops > starts)  # Oldest first.
        for user, second in zip(sequences.user_ids[some], sequences.timestamp[starts[some]].tolist(), strict=True):
            found[user] = min(second, found.get(user, second))
    return found


def describe_rates(
    exposures: Exposures | None, catalogue: Catalogue, first_event: Mapping[bytes, int]
) -> dict[str, Any] | None:
    """Group → what became of its cards, with 95% intervals by users; None: nothing was shown.

    Args:
        exposures: of a split.
        catalogue: knows languages, and when items came.
        first_event: as from `first_events`.

    Returns:
        `cards`, `readers`, and of RATES value and interval: of the cards the share that was acted on, liked and
        hidden, and of the readers the share that bought one of them; None: of such a thing nothing is known in the
        split. The groups are those of `homefeed.serving.experiments.groups` and "all".
    """
    if exposures is None or not len(exposures.item_index):
        return None
    happened = dict(exposures.outcomes) | {"acted": exposures.clicked | exposures.outcomes.get("acted", False)}
    users = exposures.user_ids[exposures.impression]
    return {
        name: {
            "cards": int(mask.sum()),
            "readers": len(np.unique(users[mask])),
            **_rates({name: found[mask] for name, found in happened.items() if found.any()}, users[mask]),
        }
        for name, mask in _groups(exposures, catalogue, first_event).items()
        if mask.any()
    }


def _rates(happened: Mapping[str, Mask], users: npt.NDArray[np.object_]) -> dict[str, list[float | None] | None]:
    """Of some cards; cards of one user hang together, so that the user is the unit of the intervals."""
    rates = {
        rate: _share(estimators.on_policy(happened[fact], users)) if fact in happened else None
        for rate, fact in zip(RATES, ("acted", "liked", "hidden"), strict=False)
    }
    if "bought" not in happened:
        return rates | {"conversion": None}
    readers, reader = np.unique(users, return_inverse=True)
    bought = np.bincount(reader.reshape(-1), happened["bought"]) > 0
    return rates | {"conversion": _share(estimators.on_policy(bought, np.arange(len(readers))))}


def _share(estimate: Estimate) -> list[float | None]:
    """With its interval between 0 and 1; where all users are alike, or there is but one, they tell of none."""
    value, (low, high) = estimate.value, estimate.interval
    return [value, None, None] if low == high or math.isinf(low) else [value, max(low, 0.0), min(high, 1.0)]


def _groups(exposures: Exposures, catalogue: Catalogue, first_event: Mapping[bytes, int]) -> dict[str, Mask]:
    """Name → [num_shown]."""
    never = np.iinfo(np.int64).max
    begun = np.array([first_event.get(user, never) for user in exposures.user_ids], np.int64)
    is_new = (begun >= exposures.timestamp)[exposures.impression]
    rows, shown_at = exposures.item_index, exposures.timestamp[exposures.impression]
    groups = {"all": np.ones(len(rows), bool), "newcomers": is_new, "known readers": ~is_new}
    if len(catalogue.available_from):
        came = catalogue.available_from[rows]
        is_dated = (rows > 0) & (came != np.iinfo(np.int64).min)
        is_recent = is_dated & (shown_at - np.where(is_dated, came, 0) <= NEW_SECONDS)
        groups |= {"new items": is_recent, "older items": is_dated & ~is_recent, "undated items": ~is_dated}
    for place, name in enumerate(catalogue.vocabularies.get("language", ())[:MAX_LANGUAGES], start=2):
        groups[f"in {name}"] = (catalogue.categorical["language"][rows] == place).any(axis=-1)
    return groups


def rows(described: Mapping[str, Any]) -> Iterator[list[str]]:
    """Cells of a table for people."""
    for split, groups in described.items():
        for name, found in (groups or {}).items():
            counts = [f"{found['cards']:,}", f"{found['readers']:,}"]
            yield [split, name, *counts, *(span(found[rate]) for rate in RATES)]


TITLE = "What became of cards"
HEADER = ("split", "cards", "number", "readers", "acted on", "liked", "hidden", "readers who bought")
EXPLAINED = (
    "Of the cards that were shown the share that was acted on, liked and hidden, and of their readers the share that "
    "bought one of them, with 95% intervals by users. Newcomers had no event in the data before the page; new items "
    f"came at most {NEW_SECONDS // 86_400} days before it. Blank: in this split nothing is known of such a thing."
)


def to_html(described: Mapping[str, Any]) -> str:
    """A part of the report; nothing where nothing was shown."""
    return html_table(TITLE, EXPLAINED, HEADER, rows(described))


def to_markdown(described: Mapping[str, Any]) -> str:
    """A part of the model card; nothing where nothing was shown."""
    return markdown_table(TITLE, EXPLAINED, HEADER, rows(described))
