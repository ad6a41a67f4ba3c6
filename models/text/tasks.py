"""Who picked what out of what, and the items that are kept from training to judge by."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.catalogue import Catalogue
from homefeed.models.sequences import Sequences
from homefeed.models.text import requests as requests_of
from homefeed.models.text.requests import Requests
from homefeed.models.text.settings import Settings

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]

_MAX_JUDGED = 4000  # Requests that decide when to stop.
_MIN_HELD_OUT = 5  # Items that can be told apart.


@dataclasses.dataclass(frozen=True)
class Task:
    """Who picked what, out of what.

    Attributes:
        requests: what is learnt from.
        query: [num_requests] int32 rows of `Texts.queries`.
        rows: [num_known] int64, ascending, the items that the pick is told apart from.
        log_counts: [num_rows] float32, logarithms of how often each was picked.
    """

    requests: Requests
    query: Ints
    rows: Rows
    log_counts: Floats

    def __len__(self) -> int:
        return len(self.requests)

    def of(self, which: npt.NDArray[Any] | slice) -> Task:
        """Some of the requests."""
        return dataclasses.replace(self, requests=self.requests[which], query=self.query[which])

    def without(self, rows: Rows) -> Task:
        """These items hidden: never picked, never in a history, never to be told apart from."""
        kept = ~np.isin(self.requests.target, rows)
        return dataclasses.replace(
            self, requests=self.requests.without(rows), query=self.query[kept], rows=np.setdiff1d(self.rows, rows)
        )

    def among(self, rows: Rows) -> Task:
        """Picks of these items, told apart from one another."""
        return dataclasses.replace(self.of(np.isin(self.requests.target, rows)), rows=rows)


@dataclasses.dataclass(frozen=True)
class Tasks:
    """What the text model learns from and is judged by.

    Attributes:
        train: every request of the training split.
        fitted: the same, with the held-out items hidden.
        judged: picks of the held-out items, of the training and the eval split.
        warm: picks of the eval split of items that are learnt from, told apart with their popularity.
        queries: [num_queries, query_tokens] int32, the queries that requests point to; row 0 is none.
    """

    train: Task
    fitted: Task
    judged: Task
    warm: Task
    queries: Ints

    @classmethod
    def of(cls, catalogue: Catalogue, train: Sequences, evaluation: Sequences, settings: Settings) -> Tasks:
        """Holds a share of the known items out."""
        speaks = (catalogue.token_ids > 0).any(axis=1)
        known = np.flatnonzero((catalogue.train_counts > 0) & speaks)
        learnt, later = (requests_of.of_events(split, known, settings) for split in (train, evaluation))
        queries, query = unique_queries(learnt, later)
        log_counts = np.log(np.maximum(catalogue.train_counts, 1)).astype(np.float32)
        task = Task(learnt, query[0], known, log_counts)
        rng = np.random.default_rng(settings.seed)
        held_out = np.sort(rng.choice(known, int(len(known) * settings.held_out), replace=False))
        if len(held_out) < _MIN_HELD_OUT:
            held_out = held_out[:0]
        both = Task(requests_of.joined(learnt, later), np.concatenate(query), known, log_counts)
        judged = both.among(held_out)
        judged = judged.of(rng.permutation(len(judged))[:_MAX_JUDGED])
        warm = Task(later, query[1], known, log_counts).without(held_out)
        warm = warm.of(rng.permutation(len(warm))[:_MAX_JUDGED])
        return cls(task, task.without(held_out), judged, warm, queries)


def unique_queries(*parts: Requests) -> tuple[Ints, list[Ints]]:
    """The different queries, the first of them none, and for each part the row of each request's."""
    tokens = np.concatenate([part.query_token_ids for part in parts])
    nothing = np.zeros((1, tokens.shape[1]), np.int32)
    queries, row = np.unique(np.concatenate([nothing, tokens]), axis=0, return_inverse=True)
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return queries, np.split(row.reshape(-1)[1:].astype(np.int32), ends)
