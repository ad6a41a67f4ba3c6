"""Baselines that the product has no use for: ItemKNN and implicit ALS, as those of `homefeed.models.evaluation`."""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np
import scipy.linalg
import scipy.sparse

from homefeed.models.evaluation import baselines
from homefeed.models.evaluation.baselines import Floats, Histories
from homefeed.models.sequences import Sequences


@dataclasses.dataclass
class ItemKNN:
    """Cosine similarity of items by who had them, the nearest neighbours of each kept (Sarwar et al. 2001)."""

    num_neighbours: int = 100
    shrinkage: float = 20.0  # Added to the denominator: similarities that few users support count less.

    def fit(self, train: Sequences, num_rows: int) -> Self:
        """Similarities of all pairs that at least one user shares."""
        users = baselines.user_item_matrix(train, num_rows)
        norms = np.sqrt(np.asarray(users.sum(axis=0)).ravel())
        shared = (users.T @ users).tocoo()
        off_diagonal = shared.row != shared.col
        row, column = shared.row[off_diagonal], shared.col[off_diagonal]
        similarity = shared.data[off_diagonal] / (norms[row] * norms[column] + self.shrinkage)
        order = np.lexsort((-similarity, row))
        row, column, similarity = row[order], column[order], similarity[order]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        kept = place < self.num_neighbours
        self._neighbours = scipy.sparse.csr_matrix(
            (similarity[kept].astype(np.float32), (row[kept], column[kept])), shape=(num_rows, num_rows)
        )
        return self

    def scores(self, histories: Histories) -> Floats:
        """Sums of the similarities to what is in the history."""
        return (baselines.history_matrix(histories, self._neighbours.shape[0]) @ self._neighbours).toarray()


@dataclasses.dataclass
class ImplicitALS:
    """Weighted matrix factorisation (Hu, Koren and Volinsky 2008); a query's user vector is folded in."""

    num_factors: int = 64
    confidence: float = 10.0  # Weight of an interaction beside 1 for its absence.
    regularization: float = 10.0
    num_iterations: int = 15
    seed: int = 0

    def fit(self, train: Sequences, num_rows: int) -> Self:
        """Alternating least squares."""
        users = baselines.user_item_matrix(train, num_rows)
        items = users.T.tocsr()
        generator = np.random.default_rng(self.seed)
        self._items = generator.normal(0, 0.1, (num_rows, self.num_factors)).astype(np.float32)
        for _ in range(self.num_iterations):
            user_vectors = self._solve(users, self._items)
            self._items = self._solve(items, user_vectors)
        return self

    def scores(self, histories: Histories) -> Floats:
        """Inner products with the folded-in user vectors."""
        return self._solve(baselines.history_matrix(histories, len(self._items)), self._items) @ self._items.T

    def _solve(self, interactions: scipy.sparse.csr_matrix, factors: Floats) -> Floats:
        """Least-squares vectors of the rows of `interactions`, given those of its columns."""
        gram = factors.T @ factors + self.regularization * np.eye(self.num_factors, dtype=np.float32)
        solved = np.zeros((interactions.shape[0], self.num_factors), np.float32)
        for row in np.flatnonzero(np.diff(interactions.indptr)):
            mine = factors[interactions.indices[interactions.indptr[row] : interactions.indptr[row + 1]]]
            system = gram + self.confidence * mine.T @ mine
            solved[row] = scipy.linalg.solve(system, (1 + self.confidence) * mine.sum(axis=0), assume_a="pos")
        return solved
