"""What goes with what, in closed form: a linear item-to-item model as a product of two small tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse.linalg

from models import baselines
from models.sequences import Sequences

Floats = npt.NDArray[np.float32]

RECENCY_EVENTS = 10.0  # An event so many places back weighs 1/e of the newest …
LONG_TERM_WEIGHT = 0.1  # … plus this, however long ago it was.


@dataclasses.dataclass(frozen=True)
class LinearFactors:
    """Scores an item by the inner product of its `decode` row and the weighted sum of the history's `encode` rows.

    Being an inner product, it joins the two towers' embeddings by concatenation, and any index serves both.

    Attributes:
        encode, decode: [num_rows, rank] float32; rows of items never seen in training are 0.
    """

    encode: Floats
    decode: Floats

    def scores(self, histories: Sequence[npt.NDArray[np.integer]]) -> Floats:
        """[num_queries, num_rows] float32."""
        queries = [recency_weights(len(rows)) @ self.encode[rows] for rows in histories]
        return np.stack(queries).astype(np.float32) @ self.decode.T if queries else np.empty((0, len(self.decode)))

    def scaled(self, weight: float) -> LinearFactors:
        """The same with all scores multiplied."""
        return LinearFactors(self.encode, np.float32(weight) * self.decode)


@dataclasses.dataclass(frozen=True)
class Decomposition:
    """Truncated singular value decomposition of the matrix of who had what.

    Attributes:
        singular_values: [rank] float64.
        items: [num_rows, rank] float64 right singular vectors.
    """

    singular_values: npt.NDArray[np.float64]
    items: npt.NDArray[np.float64]

    def factors(self, regularization: float) -> LinearFactors:
        """EASE (Steck 2019) of that rank, in closed form.

        With XᵀX = V S² Vᵀ, the inverse of XᵀX + λI is (I - V G Vᵀ) / λ, where G = S² / (S² + λ). EASE's weight
        from i to j is that inverse, divided by its diagonal and negated: (V G Vᵀ)_ij / (1 - (V G Vᵀ)_jj).
        """
        energy = self.singular_values**2
        gains = energy / (energy + regularization)
        encode = self.items * gains
        diagonal = 1 - (encode * self.items).sum(axis=1)
        return LinearFactors(encode.astype(np.float32), (self.items / diagonal[:, None]).astype(np.float32))


def decompose(train: Sequences, num_rows: int, rank: int, seed: int) -> Decomposition:
    """Decomposes the training split; the rank is cut to what users and items allow."""
    users = baselines.user_item_matrix(train, num_rows).astype(np.float64)
    rank = min(rank, min(users.shape) - 1)
    if rank < 1 or not users.nnz:
        return Decomposition(np.zeros(1), np.zeros((num_rows, 1)))
    start = np.random.default_rng(seed).normal(size=min(users.shape))
    _, singular_values, items = scipy.sparse.linalg.svds(users, k=rank, v0=start)
    return Decomposition(singular_values, items.T)


def recency_weights(num_events: int) -> Floats:
    """[num_events] float32 weights of a history's events, oldest first."""
    age = np.arange(num_events)[::-1]
    return (np.exp(-age / RECENCY_EVENTS) + LONG_TERM_WEIGHT).astype(np.float32)
