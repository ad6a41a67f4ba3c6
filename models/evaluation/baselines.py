"""Baselines: popularity, content and EASE, in NumPy and SciPy.

Each is fitted on the training split (every interaction counts once, whatever its value), knows users only by
the history it is given, and scores every row of the catalogue: `Ease().fit(train, num_rows).scores(histories)`.
Rows that were never seen in training score 0, but for content.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse

from homefeed.models.evaluation import metrics
from homefeed.models.sequences import Sequences

EASE_REGULARIZATIONS = (500.0, 150.0, 1500.0, 50.0, 5000.0)

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
class Content:
    """Cosine similarity of items by the words of their texts (TF-IDF), to the mean of what is in the history.

    Attributes:
        token_ids: [num_rows, tokens] int32, 0-padded, as in Catalogue: titles, categories, features, descriptions.
    """

    token_ids: npt.NDArray[np.int32]

    def fit(self, train: Sequences, num_rows: int) -> Self:
        """Weighs each word by how few items have it; nobody's behaviour counts."""
        row, place = np.nonzero(self.token_ids)
        shape = (num_rows, int(self.token_ids.max(initial=0)) + 1)
        words = scipy.sparse.csr_matrix((np.ones(len(row), np.float32), (row, self.token_ids[row, place])), shape)
        num_items = np.asarray((words > 0).sum(axis=0)).ravel()
        words = words.multiply(np.log1p(num_rows / np.maximum(num_items, 1))).tocsr()
        norms = np.sqrt(np.asarray(words.multiply(words).sum(axis=1))).ravel()
        self._words = scipy.sparse.diags(1 / np.maximum(norms, 1e-12)).dot(words).tocsr().astype(np.float32)
        return self

    def scores(self, histories: Histories) -> Floats:
        """Sums of the similarities to what is in the history."""
        # Few words are in none of a batch's histories: as a dense matrix these take a quarter of the time.
        wanted = (history_matrix(histories, self._words.shape[0]) @ self._words).toarray()
        return np.ascontiguousarray((self._words @ wanted.T).T)


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


def tuned_ease(
    train: Sequences,
    num_rows: int,
    histories: Histories,
    targets: npt.NDArray[np.int64],
    max_seconds: float,
    regularizations: Sequence[float] = EASE_REGULARIZATIONS,
) -> Ease:
    """The EASE with the best NDCG@10 on queries: a fixed regularization may flatter what is compared with it.

    Args:
        train: what it is fitted on.
        num_rows: of the catalogue.
        histories: of the queries by which it is chosen.
        targets: [num_queries] rows.
        max_seconds: after so many, no further regularization is tried; the first one always is.
        regularizations: what is tried, in order.
    """
    start = time.monotonic()
    best, best_ndcg = Ease(regularizations[0]).fit(train, num_rows), -1.0
    for regularization in regularizations:
        if time.monotonic() - start > max_seconds:
            break
        tried = best if regularization == best.regularization else Ease(regularization).fit(train, num_rows)
        ranks = metrics.rank_targets(tried.scores(histories), targets, histories)
        ndcg = float(metrics.ndcg(ranks, 10).sum())
        if ndcg > best_ndcg:
            best, best_ndcg = tried, ndcg
    return best


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
