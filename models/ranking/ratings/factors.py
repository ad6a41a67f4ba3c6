"""Ratings explained by factors of items and users: variational Bayesian matrix factorisation with features."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse
import tensorflow as tf

Floats = npt.NDArray[np.float64]

_PRIOR_RIDGE = 10.0  # Strength with which the weights of features are kept small.
_ROWS_AT_ONCE = 4_096  # Of users or items: what is worked out of all at once would be seven matrices a row.
_FREE_ITERATIONS = 3  # Passes before priors are learnt, so that factors first take shape.


@dataclasses.dataclass(frozen=True)
class RatingFactors:
    """What was learnt of items, and of users in general.

    The rating of item i by user u is `mean` + b_i + w_u0 + x_i·w_u + noise. An item's vector is (b, x), a user's
    (w_0, w); both have `size` = 1 + number of factors components.

    Attributes:
        mean: of all ratings.
        noise: variance of the noise.
        items: [num_rows, size] posterior means.
        covariances: [num_rows, size, size] posterior covariances.
        user_precision: [size] of the users' prior.
        user_weights: [num_user_features, size]; a user's prior mean is features @ weights.
    """

    mean: float
    noise: float
    items: Floats
    covariances: Floats
    user_precision: Floats
    user_weights: Floats


@dataclasses.dataclass
class _Side:
    """Users or items: the posterior of each, and the prior that features give it."""

    features: Floats
    means: Floats
    covariances: Floats
    precision: Floats
    weights: Floats

    @property
    def prior_means(self) -> Floats:
        return self.features @ self.weights

    def learn_prior(self) -> None:
        """Most likely weights and precisions, given the posteriors (automatic relevance determination)."""
        gram = self.features.T @ self.features + _PRIOR_RIDGE * np.eye(self.features.shape[1])
        self.weights = np.linalg.solve(gram, self.features.T @ self.means)
        spread = ((self.means - self.prior_means) ** 2).sum(0) + np.einsum("nff->f", self.covariances)
        self.precision = len(self.means) / np.maximum(spread, 1e-9)


def fit(
    user: npt.NDArray[np.int64],
    item: npt.NDArray[np.int64],
    rating: npt.NDArray[np.float32],
    user_features: Floats,
    item_features: Floats,
    *,
    num_factors: int,
    iterations: int,
    seed: int,
) -> RatingFactors:
    """Fits by mean-field variational Bayes.

    Lim and Teh, 2007, Variational Bayesian Approach to Movie Rating Prediction, with prior means that are linear
    in features, as in Bayesian matrix factorisation with side information (Macau; Simm et al., 2017), and
    relevance determination of each factor on both sides. Averaging over what is uncertain, and not picking the
    likeliest factors, is what keeps 80,000 ratings from being memorised by 40,000 parameters.

    Items that nobody rated say nothing: they are left out, and get what their features make one expect.

    Args:
        user: [num_ratings] rows of `user_features`.
        item: [num_ratings] rows of `item_features`.
        rating: [num_ratings], in any unit.
        user_features: [num_users, f].
        item_features: [num_rows, g].
        num_factors: components beside the two biases.
        iterations: passes over both sides.
        seed: of the start.
    """
    size = num_factors + 1
    rng = np.random.default_rng(seed)
    mean = float(rating.mean()) if len(rating) else 0.0
    variance = max(float(rating.var()), 1e-9) if len(rating) else 1.0  # All may be equal.
    users = _side(user_features, size, variance)
    rated, item = np.unique(item, return_inverse=True)
    items = _side(item_features[rated], size, variance)
    items.means[:, 1:] = rng.normal(0, 0.1, (len(item_features), num_factors))[rated]
    centred = rating.astype(np.float64) - mean
    of_users = _parts(user, item, centred, (len(user_features), len(rated)))
    of_items = _parts(item, user, centred, (len(rated), len(user_features)))
    # Large arrays that are made anew in each pass cost as much as what is worked out in them.
    second_of_users, second_of_items = np.empty_like(users.covariances), np.empty_like(items.covariances)
    noise = 0.5 * variance
    for iteration in range(iterations if len(rating) else 0):
        tables = _tables(items, second_of_items)
        sums = [_sums(tables, part) for part in of_users]
        if iteration:
            error = _expected_error(users, items, of_users, sums) / sum(part.seen.nnz for part in of_users)
            noise = max(error, 1e-3 * variance)
        for part, found in zip(of_users, sums, strict=True):
            _update(users, part.rows, found, noise)
        tables = _tables(users, second_of_users)
        for part in of_items:
            _update(items, part.rows, _sums(tables, part), noise)
        if iteration >= _FREE_ITERATIONS:
            users.learn_prior()
            items.learn_prior()
    return RatingFactors(mean, noise, *_of_all(items, rated, item_features), users.precision, users.weights)


def item_tables(factors: RatingFactors) -> tuple[Floats, Floats]:
    """What a user's estimate adds up, for each item, beside `second_moments`: [num_rows, size] design z = (1, x), and
    [num_rows, size] covariances of b with z."""
    return _design(factors.items, factors.covariances)


def second_moments(design: Floats, covariances: Floats) -> Floats:
    """[num_rows, size, size] expected z zᵀ, of designs z and covariances of (b, x)."""
    uncertain = covariances.copy()
    uncertain[:, 0, :] = uncertain[:, :, 0] = 0
    return design[:, :, None] * design[:, None, :] + uncertain


def _side(features: Floats, size: int, variance: float) -> _Side:
    num = len(features)
    precision = np.full(size, 2.0 / max(variance, 1e-9) ** 0.5)
    precision[0] = 4.0 / max(variance, 1e-9)
    covariances = np.tile(np.eye(size) * 0.01, (num, 1, 1))
    return _Side(features, np.zeros((num, size)), covariances, precision, np.zeros((features.shape[1], size)))


def _design(means: Floats, covariances: Floats) -> tuple[Floats, Floats]:
    design, with_bias = means.copy(), covariances[:, 0, :].copy()
    design[:, 0], with_bias[:, 0] = 1, 0
    return design, with_bias


def _of_all(side: _Side, rows: npt.NDArray[np.int64], features: Floats) -> tuple[Floats, Floats]:
    """Means and covariances of every row: of some as they were fitted, of the others as the prior has them."""
    means, covariances = features @ side.weights, np.tile(np.diag(1 / side.precision), (len(features), 1, 1))
    means[rows], covariances[rows] = side.means, side.covariances
    return means, covariances


class _Part(NamedTuple):
    """Ratings of some rows of a side: [num_rows, num_rows of the other side]."""

    rows: slice
    seen: scipy.sparse.csr_matrix
    centred: scipy.sparse.csr_matrix


def _parts(
    own: npt.NDArray[np.int64], other: npt.NDArray[np.int64], centred: Floats, shape: tuple[int, int]
) -> list[_Part]:
    seen, ratings = (scipy.sparse.csr_matrix((of, (own, other)), shape) for of in (np.ones(len(own)), centred))
    return [_Part(rows, seen[rows], ratings[rows]) for rows in _slices(shape[0])]


def _slices(num_rows: int) -> list[slice]:
    return [slice(start, start + _ROWS_AT_ONCE) for start in range(0, num_rows, _ROWS_AT_ONCE)]


def _tables(side: _Side, second: Floats) -> tuple[Floats, Floats, Floats]:
    """Of each row of a side: z, E[z zᵀ], which is written into `second`, and E[z b]."""
    design, with_bias = _design(side.means, side.covariances)
    for rows in _slices(len(design)):
        second[rows] = second_moments(design[rows], side.covariances[rows])
    return design, second, with_bias + side.means[:, :1] * design


def _sums(other: tuple[Floats, Floats, Floats], part: _Part) -> tuple[Floats, Floats]:
    """For each row of a part, over its ratings: the sum of E[z zᵀ] and of E[z (rating - b)]; z as in `other`."""
    design, second, with_bias = other
    size = design.shape[1]
    squares = (part.seen @ second.reshape(len(second), -1)).reshape(-1, size, size)
    return squares, part.centred @ design - part.seen @ with_bias


def _update(side: _Side, rows: slice, sums: tuple[Floats, Floats], noise: float) -> None:
    """The posterior of some rows of a side given the other's: a Bayesian linear regression for each row."""
    precision = sums[0] / noise
    diagonal = np.arange(precision.shape[1])
    precision[:, diagonal, diagonal] += side.precision
    right = side.precision * (side.features[rows] @ side.weights) + sums[1] / noise
    # NumPy's inverse wakes every thread of OpenBLAS for each small matrix, and is fifty times slower for it.
    side.covariances[rows] = tf.linalg.inv(precision).numpy()
    side.means[rows] = np.einsum("nfg,ng->nf", side.covariances[rows], right)


def _expected_error(
    users: _Side, items: _Side, parts: Sequence[_Part], sums: Sequence[tuple[Floats, Floats]]
) -> float:
    """Sum of E[(rating - b - z·w)²] over both posteriors; `sums` are `_sums` of the users' parts."""
    bias, uncertain = items.means[:, 0], items.covariances[:, 0, 0]
    total = 0.0
    for part, (squares, products) in zip(parts, sums, strict=True):
        means, covariances = users.means[part.rows], users.covariances[part.rows]
        counts, of_item = (np.asarray(matrix.sum(0))[0] for matrix in (part.seen, part.centred))
        total += part.centred.multiply(part.centred).sum() - 2 * of_item @ bias + counts @ (bias**2 + uncertain)
        moments = covariances + means[:, :, None] * means[:, None, :]
        total += (moments * squares).sum() - 2 * (means * products).sum()
    return float(total)
