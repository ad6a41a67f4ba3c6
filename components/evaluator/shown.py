"""What people see, measured: how far its probabilities and values hold, and what other orders would be worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.components.evaluator.measured import Measured
from homefeed.components.evaluator.slices import LENGTHS, length_name, popularity_thirds
from homefeed.models.catalogue import Catalogue
from homefeed.models.evaluation import beyond_accuracy, metrics
from homefeed.models.sequences import Sequences

PLACES = ((1, 3), (4, 6), (7, 10))  # On the page.
NUM_PARTS = 10  # Of the targets, by expected value.
MAX_LANGUAGES = 10

Floats = npt.NDArray[np.float64]


def calibration(found: Measured, sequences: Sequences, catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    """Group of what is shown → P(liked), predicted and happened, of what users chose later in the split.

    Groups are all, readers by how much they have done, items by how popular and how new they are, languages, and
    places on the page. An event counts once, with the mean of what was predicted each time its item was shown before.
    A group without any is left out.
    """
    shown, groups = found.shown, _groups(found, catalogue)
    return {
        name: _of_events(shown.events[mask], shown.probabilities[mask], sequences.positive)
        for name, mask in ((name, mask & (shown.events >= 0)) for name, mask in groups.items())
        if mask.any()
    }


def _of_events(events: npt.NDArray[np.int64], predicted: Floats, happened: npt.NDArray[Any]) -> dict[str, Any]:
    chosen, place, times = np.unique(events, return_inverse=True, return_counts=True)
    mean, came = np.bincount(place, predicted) / times, happened[chosen]
    return beyond_accuracy.reliability(mean, came) | {"predicted": float(mean.mean()), "happened": float(came.mean())}


def _groups(found: Measured, catalogue: Catalogue) -> dict[str, npt.NDArray[np.bool_]]:
    """Name → [num_queries, 10]."""
    rows = found.shown.rows
    lengths = np.array([len(history) for history in found.queries.histories], np.int64)[:, None]
    thirds = popularity_thirds(catalogue.train_counts)[rows]
    groups = {"all": rows > 0}
    for low, high in LENGTHS:
        inside = (lengths >= low) & (lengths <= (np.inf if high is None else high))
        groups[f"readers with a {length_name(low, high)}"] = (rows > 0) & inside
    groups |= {"new items": catalogue.train_counts[rows] == 0}
    groups |= {f"{name} items": thirds == third for third, name in enumerate(("popular", "middling", "rare"))}
    for place, name in enumerate(catalogue.vocabularies.get("language", ())[:MAX_LANGUAGES], start=2):
        groups[f"in {name}"] = (catalogue.categorical["language"][rows] == place).any(axis=-1)
    places = np.broadcast_to(np.arange(1, rows.shape[1] + 1), rows.shape)
    groups |= {f"places {first} to {last}": (places >= first) & (places <= last) for first, last in PLACES}
    return groups


def value_by_part(found: Measured) -> list[dict[str, float]]:
    """Tenths of the targets that were retrieved, by their expected value: what was expected of each and what came."""
    known = np.flatnonzero(np.isfinite(found.values) & (found.values != 0))
    order = known[np.argsort(found.values[known], kind="stable")]
    return [
        {
            "events": len(part),
            "predicted": float(found.values[part].mean()),
            "happened": float(found.worth[part].mean()),
        }
        for part in np.array_split(order, NUM_PARTS)
        if len(part)
    ]


def trade_off(found: Measured) -> list[dict[str, float | None]]:
    """What other weights of the expected value would be worth; `weight` is by that of the served order.

    Sorted by the value alone, the weight is None: JSON knows no infinity.
    """
    return [
        {
            "weight": weight if np.isfinite(weight) else None,
            "ndcg@10": mean_of_known(metrics.ndcg(ranks, 10)),
            "ndcg@10_objective": mean_of_known(metrics.ndcg(ranks, 10) * found.weights),
            "liked": mean_of_known(page.probabilities),
            "value": mean_of_known(page.values),
        }
        for weight, (ranks, page) in found.mixes.items()
    ]


def mean_of_known(values: Floats) -> float:
    """The mean without NaN; 0 of nothing."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0
