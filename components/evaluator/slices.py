"""Slices of an evaluation, and which of them are guarded against losses of a new model."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.components.evaluator.queries import Queries
from homefeed.models.catalogue import Catalogue
from homefeed.models.sequences import Sequences

Mask = npt.NDArray[np.bool_]

NEW_USERS, NEW_ITEMS, CATEGORY = "new users", "new items", "category: "
LENGTHS = ((0, 0), (1, 4), (5, 19), (20, None))
MAX_CATEGORIES = 100  # Those with most queries: each of them costs a bootstrap, and a line for somebody to read.


def slices(queries: Queries, sequences: Sequences, catalogue: Catalogue, min_queries: int) -> dict[str, Mask]:
    """Name → [num_queries] which queries are in it; groups smaller than `min_queries` are left out.

    New users have no event, and new items no interaction, before the split. Popular items are those that make up
    the first third of the training interactions, rare ones the last third.
    """
    found = {
        NEW_USERS: sequences.num_history[queries.rows] == 0,
        NEW_ITEMS: catalogue.train_counts[queries.targets] == 0,
    }
    lengths = np.array([len(history) for history in queries.histories], np.int64)
    for low, high in LENGTHS:
        found[length_name(low, high)] = (lengths >= low) & (lengths <= (np.inf if high is None else high))
    third = popularity_thirds(catalogue.train_counts)[queries.targets]
    found |= {f"{name} items": third == place for place, name in enumerate(("popular", "middling", "rare"))}
    found |= _categories(queries, catalogue, max(min_queries, 1))
    return {name: mask for name, mask in found.items() if mask.sum() >= max(min_queries, 1)}


def length_name(low: int, high: int | None) -> str:
    """Such as "history of 5 to 19"."""
    return f"history of {low}" + (" or more" if high is None else f" to {high}" if high != low else "")


def is_guarded(name: str) -> bool:
    """Whether a new model may not be worse there: newcomers, new items, and each category."""
    return name in (NEW_USERS, NEW_ITEMS) or name.startswith(CATEGORY)


def popularity_thirds(train_counts: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """[num_rows] 0, 1 or 2: which third of all interactions an item is in, most popular first; -1: none at all.

    >>> popularity_thirds(np.array([0, 4, 4, 2, 2, 0])).tolist()
    [-1, 0, 1, 2, 2, -1]
    """
    order = np.argsort(-train_counts, kind="stable")
    before = np.cumsum(train_counts[order]) - train_counts[order]
    thirds = np.empty(len(train_counts), np.int64)
    thirds[order] = (3 * before) // max(int(train_counts.sum()), 1)
    thirds[train_counts == 0] = -1
    return thirds


def _categories(queries: Queries, catalogue: Catalogue, min_queries: int) -> dict[str, Mask]:
    given = catalogue.categorical.get("categories")
    if given is None:
        return {}
    positions = given[queries.targets]
    names = catalogue.vocabularies["categories"]
    counts = np.bincount(positions.ravel(), minlength=2 + len(names))[2:]
    largest = np.sort(np.argsort(-counts, kind="stable")[:MAX_CATEGORIES])
    return {
        f"{CATEGORY}{names[place]}": (positions == 2 + place).any(axis=1)
        for place in largest[counts[largest] >= min_queries]
    }
