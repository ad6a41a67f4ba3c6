"""Metrics beside accuracy: coverage, Gini, diversity, novelty and popularity of lists; calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Pages = npt.NDArray[np.int64]
"""[num_pages, k] rows of the Catalogue, best first; 0 where a page has no more items."""
Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.floating[Any]]


def coverage(pages: Pages, num_rows: int) -> float:
    """Share of the catalogue that is on anybody's page.

    >>> coverage(np.array([[1, 2], [2, 0]]), num_rows=5)  # 2 of 4 items.
    0.5
    """
    return len(np.unique(pages[pages > 0])) / max(num_rows - 1, 1)


def gini(pages: Pages, num_rows: int) -> float:
    """Inequality of how often items are shown: 0 if all are equally often, towards 1 if one is always.

    >>> gini(np.array([[1, 2], [1, 2]]), num_rows=3)
    0.0
    """
    shown = np.sort(np.bincount(pages.ravel(), minlength=num_rows)[1:]).astype(np.float64)
    if not shown.sum():
        return 0.0
    place = np.arange(1, len(shown) + 1)
    return float(((2 * place - len(shown) - 1) * shown).sum() / (len(shown) * shown.sum()))


def diversity(pages: Pages, categories: Ints) -> float:
    """Mean over pages of the share of pairs of items that have no category in common; 0 without such pairs.

    Args:
        pages: as above.
        categories: [num_rows, num_values], 0-padded positions.
    """
    shares = []
    for page in pages:
        given = categories[page[page > 0]]
        if len(given) < 2:
            continue
        same = (given[:, None, :, None] == given[None, :, None, :]) & (given > 0)[:, None, :, None]
        first, second = np.triu_indices(len(given), 1)
        shares.append(1 - same.any(axis=(2, 3))[first, second].mean())
    return float(np.mean(shares)) if shares else 0.0


def surprise(train_counts: Ints) -> npt.NDArray[np.float64]:
    """[num_rows] bits of each item: `-log2` of its share of the training events, with add-one smoothing; 0 of none
    (Vargas and Castells 2011, Rank and Relevance in Novelty and Diversity Metrics).

    >>> surprise(np.array([0, 1, 1]))  # Each has half of the events.
    array([0., 1., 1.])
    """
    counts = train_counts[1:] + 1.0
    return np.concatenate([[0.0], -np.log2(counts / counts.sum())])


def novelty(pages: Pages, train_counts: Ints) -> float:
    """Mean `surprise` of what is shown, in bits; 0 of nothing.

    >>> novelty(np.array([[1, 2]]), np.array([0, 1, 1]))
    1.0
    """
    shown = pages[pages > 0]
    return float(surprise(train_counts)[shown].mean()) if len(shown) else 0.0


def popularity_lift(pages: Pages, histories: list[Ints], train_counts: Ints) -> float:
    """How much more popular what is shown is than what its readers chose so far: a ratio of mean training counts
    (Abdollahpouri et al. 2019, The Unfairness of Popularity Bias in Recommendation, there as a difference). 1: as
    popular; 2: twice. Pages of readers without history are left out; 0 if there is no other.
    """
    lifts = []
    for page, history in zip(pages, histories, strict=True):
        shown, had = page[page > 0], history[history > 0]
        if len(shown) and len(had) and (usual := float(train_counts[had].mean())):
            lifts.append(float(train_counts[shown].mean()) / usual)
    return float(np.mean(lifts)) if lifts else 0.0


def reliability(probabilities: Floats, positive: npt.NDArray[np.bool_], num_bins: int = 10) -> dict[str, Any]:
    """How far predicted probabilities can be taken at their word.

    Args:
        probabilities: [num_events] in 0 … 1; NaN where nothing was predicted, which is left out.
        positive: [num_events] what happened.
        num_bins: bins of equal width.

    Returns:
        `events`, `brier` (mean squared error), `ece` (expected calibration error: the mean gap between what was
        predicted and what happened, weighted by the bins' sizes; Naeini et al. 2015), `ece_by_chance` (about what it
        would be if every probability were right, since few events are not the mean of many) and `bins`, each with
        its `events`, mean `predicted` and `happened`.

    >>> found = reliability(np.array([0.25, 0.25]), np.array([True, False]))
    >>> found["brier"], found["ece"]  # (0.75² + 0.25²) / 2 and |0.25 − 0.5|.
    (0.3125, 0.25)
    """
    known = np.isfinite(probabilities)
    predicted, happened = probabilities[known].astype(np.float64), positive[known].astype(np.float64)
    if not len(predicted):
        return {"events": 0, "brier": 0.0, "ece": 0.0, "ece_by_chance": 0.0, "bins": []}
    place = np.minimum((predicted * num_bins).astype(np.int64), num_bins - 1)
    bins = [
        {
            "events": int((place == bin_).sum()),
            "predicted": float(predicted[place == bin_].mean()),
            "happened": float(happened[place == bin_].mean()),
        }
        for bin_ in np.unique(place)
    ]
    gaps = sum(bin_["events"] * abs(bin_["predicted"] - bin_["happened"]) for bin_ in bins)
    # The mean of |x| where x is normal of deviation d is d × sqrt(2 / π).
    variances = np.bincount(place, predicted * (1 - predicted))
    by_chance = np.sqrt(2 / np.pi * variances).sum()
    return {
        "events": len(predicted),
        "brier": float(np.mean((predicted - happened) ** 2)),
        "ece": float(gaps / len(predicted)),
        "ece_by_chance": float(by_chance / len(predicted)),
        "bins": bins,
    }
