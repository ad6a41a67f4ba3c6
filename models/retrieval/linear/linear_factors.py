"""EASE of low rank: a linear item-to-item model in closed form, as a product of two small tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse.linalg

from homefeed.models.evaluation import baselines
from homefeed.models.sequences import Sequences

Floats = npt.NDArray[np.float32]

RECENCY_EVENTS = 10.0  # An event so many places back weighs 1/e of the newest, plus its long-term weight.
CONTENT_RIDGE = 1.0  # Regularisation of the regression that stands in for items without a history.


@dataclasses.dataclass(frozen=True)
class LinearFactors:
    """Scores an item by the inner product of its `decode` row and the weighted sum of the history's `encode` rows.

    Being an inner product, it joins the two towers' embeddings by concatenation, and any index serves both.

    Attributes:
        encode, decode: [num_rows, rank] float32; rows of items never seen in training are 0.
        long_term: weight of an event however long ago it was, beside 1 for being the newest.
    """

    encode: Floats
    decode: Floats
    long_term: float

    def scores(self, histories: Sequence[npt.NDArray[np.integer[Any]]]) -> Floats:
        """[num_queries, num_rows] float32."""
        scores: Floats = self.queries(histories) @ self.decode.T
        return scores

    def queries(self, histories: Sequence[npt.NDArray[np.integer[Any]]]) -> Floats:
        """[num_queries, rank] float32, to be multiplied with `decode`."""
        queries = np.zeros((len(histories), self.encode.shape[1]), np.float32)
        for query, rows in zip(queries, histories, strict=True):
            query[:] = recency_weights(len(rows), self.long_term) @ self.encode[rows]
        return queries

    def scaled(self, weight: float) -> LinearFactors:
        """The same with all scores multiplied."""
        return dataclasses.replace(self, decode=np.float32(weight) * self.decode)

    def for_new_items(self, maps: ContentMaps, content: Floats, is_new: npt.NDArray[np.bool_]) -> LinearFactors:
        """Gives new items the factors that their content makes one expect.

        Args:
            maps: `content_maps` of the items that are not new.
            content: [num_rows, width] float32, what items are known by in a cold start.
            is_new: [num_rows] bool; row 0 is nothing and stays so.
        """
        features = _with_ones(content)
        is_new = is_new & (np.arange(len(is_new)) > 0)
        encode, decode = self.encode.copy(), self.decode.copy()
        for table, kernel in ((encode, maps.encode), (decode, maps.decode)):
            table[is_new] = features[is_new] @ kernel
        return dataclasses.replace(self, encode=encode, decode=decode)

    def content_maps(self, content: Floats, is_new: npt.NDArray[np.bool_]) -> ContentMaps:
        """A ridge regression of the factors of known items on their content; arguments as in `for_new_items`."""
        known = ~is_new
        known[0] = False
        features = _with_ones(content)
        gram = features[known].T @ features[known] + CONTENT_RIDGE * np.eye(features.shape[1])
        encode, decode = (
            np.linalg.solve(gram, features[known].T @ table[known]) for table in (self.encode, self.decode)
        )
        return ContentMaps(encode, decode)


@dataclasses.dataclass(frozen=True)
class ContentMaps:
    """Linear maps from an item's content, with a 1 appended, to its predicted factors.

    Attributes:
        encode, decode: [width + 1, rank] float64.
    """

    encode: npt.NDArray[np.float64]
    decode: npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Decomposition:
    """Truncated singular value decomposition of the user-item matrix.

    Attributes:
        singular_values: [rank] float64.
        items: [num_rows, rank] float64 right singular vectors.
    """

    singular_values: npt.NDArray[np.float64]
    items: npt.NDArray[np.float64]

    def factors(self, regularization: float, long_term: float) -> LinearFactors:
        """EASE (Steck 2019) of that rank, in closed form.

        With XᵀX = V S² Vᵀ, the inverse of XᵀX + λI is (I - V G Vᵀ) / λ, where G = S² / (S² + λ). EASE's weight
        from i to j is that inverse, divided by its diagonal and negated: (V G Vᵀ)_ij / (1 - (V G Vᵀ)_jj).
        """
        energy = self.singular_values**2
        gains = energy / (energy + regularization)
        encode = self.items * gains
        diagonal = 1 - (encode * self.items).sum(axis=1)
        decode = self.items / diagonal[:, None]
        return LinearFactors(encode.astype(np.float32), decode.astype(np.float32), long_term)


def decompose(train: Sequences, num_rows: int, rank: int, seed: int) -> Decomposition:
    """Decomposes the training split; the rank is cut to what users and items allow."""
    users = baselines.user_item_matrix(train, num_rows).astype(np.float64)
    rank = min(rank, min(users.shape) - 1)
    if rank < 1 or not users.nnz:
        return Decomposition(np.zeros(1), np.zeros((num_rows, 1)))
    start = np.random.default_rng(seed).normal(size=min(users.shape))
    _, singular_values, items = scipy.sparse.linalg.svds(users, k=rank, v0=start)
    # Where the data span fewer dimensions, the rest is noise of the solver, another one each time.
    spanned = singular_values > 1e-6 * singular_values.max()
    return Decomposition(singular_values * spanned, items.T * spanned)


def recency_weights(num_events: int, long_term: float) -> Floats:
    """[num_events] float32 weights of a history's events, oldest first."""
    age = np.arange(num_events)[::-1]
    return (np.exp(-age / RECENCY_EVENTS) + long_term).astype(np.float32)


def _with_ones(content: Floats) -> npt.NDArray[np.float64]:
    return np.concatenate([content, np.ones((len(content), 1))], axis=1).astype(np.float64)
