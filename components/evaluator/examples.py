"""Example users with their lists, under each objective, for people to look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from homefeed.components.evaluator.answers import PAGE_LENGTH
from homefeed.components.evaluator.queries import Queries
from homefeed.models.catalogue import Catalogue
from homefeed.models.requests import requests_from_sequences
from homefeed.models.sequences import Sequences
from homefeed.serving.recommender import Recommendation, Recommender

NUM_USERS = 3
NUM_EVENTS = 10  # Of the history, newest first.


def lists(
    recommender: Recommender,
    queries: Queries,
    sequences: Sequences,
    catalogue: Catalogue,
    objectives: Sequence[str],
) -> list[dict[str, Any]]:
    """Users with short, middling and long histories: what they did, and their lists.

    Returns:
        One a user: `user_id`, `history` (titles, newest first) and `lists`, objective → places with `title`, `score`,
        `liked` (P), `value` (expected) and `source`.
    """
    found = []
    # Queries are in order of how long the history is.
    places = (
        {len(queries) * (2 * part + 1) // (2 * NUM_USERS) for part in range(NUM_USERS)} if len(queries) else set()
    )
    for at in sorted(places):
        which = np.array([at])
        (request,) = requests_from_sequences(sequences, catalogue, queries.rows[which], queries.ends[which])
        asked = [dataclasses.replace(request, objective=name) for name in objectives]
        pages = zip(objectives, recommender.recommend(asked, PAGE_LENGTH), strict=True)
        newest = [int(row) for row in queries.histories[at][::-1] if row][:NUM_EVENTS]
        found.append(
            {
                "user_id": request.user_id,
                "history": [(catalogue.titles[row] or catalogue.item_ids[row]).decode() for row in newest],
                "lists": {name: [_place(shown, catalogue) for shown in page] for name, page in pages},
            }
        )
    return found


def _place(shown: Recommendation, catalogue: Catalogue) -> dict[str, Any]:
    rows = np.flatnonzero(catalogue.item_ids == shown.item_id.encode())
    is_new = not catalogue.train_counts[rows].any()
    return {
        "title": shown.title or shown.item_id,
        "score": shown.score,
        "liked": shown.probability,
        "value": shown.value,
        "source": "cold start" if is_new else shown.source,
    }
