"""Baselines: popularity and EASE, in NumPy and SciPy.

Each is fitted on the training split (every interaction counts once, whatever its value), knows users only by
the history it is given, and scores every row of the catalogue: `Ease().fit(train, num_rows).scores(histories)`.
Rows that were never seen in training score 0.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse

from homefeed.models.sequences import Sequences

Floats = npt.NDArray[np.float32]
Histories = Sequence[npt.NDArray[np.integer[Any]]]


class Baseline(Protocol):
    """A recommender that scores the catalogue from a history alone."""

    def fit(self, train: Sequences, num_rows: int) -> Self:
        """Learns from the training split; `num_rows` is the catalogue's."""

    def scores(self, histories: Histories) -> Floats:
        """[num_queries, num_rows] float32, higher is better, from rows of the catalogue (0 is skipped)."""


class Popularity:
    """How often each item was interacted with."""

    def fit(self, train: Sequences, num_rows: int) -> Self:
        """Counts."""
        self._counts = np.bincount(train.item_index, minlength=num_rows).astype(np.float32)
        return self

    def scores(self, histories: Histories) -> Floats:
        """The counts, whatever the history."""
        return np.tile(self._counts, (len(histories), 1))


@dataclasses.dataclass
class Ease:
    """Ridge regression of every item on all others (Steck 2019, Embarrassingly Shallow Autoencoders).

    Cubic in the number of items that were seen in training: 10,000 take about a minute and 1 GB.
    """

    regularization: float = 500.0  # Added to the diagonal of the Gram matrix, in interactions.

    def fit(self, train: Sequences, num_rows: int) -> Self:
        """Closed form, over the items that occur."""
        users = user_item_matrix(train, num_rows)
        self._num_rows = num_rows
        self._seen = np.flatnonzero(np.asarray(users.sum(axis=0)).ravel())
        self._weights = ease_weights(users[:, self._seen], self.regularization)
        return self

    def scores(self, histories: Histories) -> Floats:
        """Sums of the weights of what is in the history."""
        history = history_matrix(histories, self._num_rows)[:, self._seen]
        scores = np.zeros((len(histories), self._num_rows), np.float32)
        scores[:, self._seen] = history @ self._weights
        return scores


def user_item_matrix(sequences: Sequences, num_rows: int) -> scipy.sparse.csr_matrix:
    """[num_users, num_rows] float32, 1 where the user had the item; unknown items (row 0) are left out."""
    splits = sequences.row_splits
    return history_matrix([sequences.item_index[a:b] for a, b in itertools.pairwise(splits)], num_rows)


def history_matrix(histories: Histories, num_rows: int) -> scipy.sparse.csr_matrix:
    """[num_queries, num_rows] float32, 1 for each row in the history, however often it occurs."""
    rows = [np.unique(history[history > 0]) for history in histories]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    indices = np.concatenate([*rows, np.empty(0, np.int64)]).astype(np.int64)
    return scipy.sparse.csr_matrix(
        (np.ones(len(indices), np.float32), indices, indptr), shape=(len(histories), num_rows)
    )


def ease_weights(users: scipy.sparse.csr_matrix, regularization: float) -> Floats:
    """[num_items, num_items] float32 item-to-item weights, zero on the diagonal."""
    gram = (users.T @ users).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += regularization
    precision = scipy.linalg.inv(gram, overwrite_a=True, check_finite=False)
    weights = precision / -np.diag(precision)
    weights[np.diag_indices_from(weights)] = 0
    return weights.astype(np.float32)
