"""A user's taste in ratings, estimated inside the graph from the history in the request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.ranking.ratings import factors as rating_factors
from homefeed.models.shared.half_precision import halved, rows_of

Floats = npt.NDArray[np.float32]

_LARGE = ("_design", "_with_bias")  # Tables of items, beside their covariances.


class RatingTaste:
    """The posterior of a user's factors, given those of items (`homefeed.models.ranking.ratings.factors`).

    A Bayesian linear regression of the history's ratings on the items' factors, solved in closed form, so that
    a user who is new, or who rated something a second ago, needs no training.

    Args:
        fits: the first is for serving. What trains on a user's events uses a fit that has not seen that user:
            the ratings that factors were fitted to look easier to predict than others will be.
    """

    def __init__(self, fits: Iterable[rating_factors.RatingFactors]):
        tables = [*map(_tables, fits)]  # One after the other: a fit is four times as large as what is kept of it.
        self._num_fits = len(tables)
        self.num_rows, self.size = tables[0].design.shape
        row, column = np.triu_indices(self.size - 1)
        self._places = np.zeros((self.size - 1, self.size - 1), np.int32)
        self._places[row, column] = self._places[column, row] = np.arange(len(row))
        stacked = _Tables(*(tf.Variable(np.concatenate(of), trainable=False) for of in zip(*tables, strict=True)))
        self._design, self._covariances, self._with_bias = stacked.design, stacked.covariances, stacked.with_bias
        self._bias, self._bias_variance = stacked.bias, stacked.bias_variance
        self._mean, self._noise = stacked.mean, stacked.noise
        self._precision, self._user_weights = stacked.precision, stacked.user_weights

    @property
    def constants(self) -> list[tf.Variable]:
        """The fitted constants, which a SavedModel must reach."""
        return [value for value in vars(self).values() if isinstance(value, tf.Variable)]

    def keep_serving_fit(self) -> None:
        """Drops all fits but the first, and half the precision of the tables of items."""
        for name, value in list(vars(self).items()):
            if isinstance(value, tf.Variable):
                first = value[: value.shape[0] // self._num_fits].numpy()
                if name == "_covariances":
                    first = _halved_covariances(first, self._places)
                setattr(self, name, tf.Variable(halved(first) if name in _LARGE else first, trainable=False))
        self._num_fits = 1

    def __call__(
        self, fit: tf.Tensor, items: tf.Tensor, ratings: tf.Tensor, user: tf.Tensor, candidates: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Estimates a user's factors from the history and predicts the ratings of the candidates.

        Args:
            fit: [batch] int32, which fit to use.
            items: [batch, num_events] int32 rows of what was rated, 0 for none.
            ratings: [batch, num_events] float32, NaN for unknown.
            user: [batch, num_user_features] float32, the row of the design matrix.
            candidates: [batch, num_candidates] int32 rows.

        Returns:
            [batch, num_candidates] float32 means, and standard deviations that include the noise.
        """
        known = tf.cast(tf.math.is_finite(ratings) & (items > 0), tf.float32)
        rows = items + (fit * self.num_rows)[:, None]
        mean, noise = tf.gather(self._mean, fit), tf.gather(self._noise, fit)
        residual = tf.where(known > 0, ratings - mean - tf.gather(self._bias, rows), 0.0)
        design = rows_of(self._design, rows) * known[..., None]
        covariances = tf.reduce_sum(rows_of(self._covariances, rows) * known[..., None], axis=1)
        with_bias = tf.reduce_sum(rows_of(self._with_bias, rows) * known[..., None], axis=1)
        prior = tf.gather(self._precision, fit)
        # Of E[z zᵀ] the first component of z, which is 1, is the only one that is certain.
        uncertain = tf.pad(tf.gather(covariances, self._places, axis=1), [[0, 0], [1, 0], [1, 0]])
        second = tf.matmul(design, design, transpose_a=True) + uncertain
        precision = tf.linalg.diag(prior) + second / noise[..., None]
        weights = tf.reshape(self._user_weights, [-1, user.shape[1], self.size])
        expected = tf.einsum("bf,bfs->bs", user, tf.gather(weights, fit))
        right = prior * expected + (tf.einsum("bes,be->bs", design, residual) - with_bias) / noise
        root = tf.linalg.cholesky(precision)
        taste = tf.linalg.cholesky_solve(root, right[..., None])
        return self._predict(fit, candidates, taste, root)

    def _predict(
        self, fit: tf.Tensor, candidates: tf.Tensor, taste: tf.Tensor, root: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        rows = candidates + (fit * self.num_rows)[:, None]
        design = rows_of(self._design, rows)
        mean = tf.gather(self._mean, fit) + tf.gather(self._bias, rows) + tf.matmul(design, taste)[..., 0]
        of_user = tf.reduce_sum(tf.square(tf.linalg.triangular_solve(root, tf.transpose(design, [0, 2, 1]))), axis=1)
        variance = tf.gather(self._noise, fit) + of_user + tf.gather(self._bias_variance, rows)
        return mean, tf.sqrt(variance)


class _Tables(NamedTuple):
    """What a request reads of a fit, float32; of several, one after the other."""

    design: Any
    covariances: Any
    with_bias: Any
    bias: Any
    bias_variance: Any
    mean: Any
    noise: Any
    precision: Any
    user_weights: Any


def _tables(fit: rating_factors.RatingFactors) -> _Tables:
    """Without E[z zᵀ], the largest: a request adds it up from the design and the covariances."""
    # Symmetric matrices: one half of each is all there is to keep, and to add up.
    row, column = np.triu_indices(fit.items.shape[1] - 1)
    design, with_bias = rating_factors.item_tables(fit)
    found = _Tables(
        design,
        fit.covariances[:, 1 + row, 1 + column],
        with_bias,
        fit.items[:, 0],
        fit.covariances[:, 0, 0],
        [[fit.mean]],
        [[fit.noise]],
        fit.user_precision[None],
        fit.user_weights,
    )
    return _Tables(*(np.asarray(table, np.float32) for table in found))


def _halved_covariances(packed: Floats, places: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    """Covariances in half precision that are smaller in no direction; as they are, if one is too large for that.

    What an entry off the diagonal is rounded by is added to the diagonal of both its rows, and the diagonal is
    rounded up: the difference is diagonally dominant, so that a sum of many stays positive definite, however little
    is known beside it.

    Args:
        packed: [num_rows, num_entries] float32, one half of each symmetric matrix.
        places: [size, size] int32 → where an entry is in `packed`.
    """
    half = halved(packed)
    if half is packed:
        return packed
    error = np.abs(half.astype(np.float32) - packed)
    for row, entries in enumerate(places):
        off = np.delete(entries, row)
        half[:, entries[row]] = _rounded_up(packed[:, entries[row]] + error[:, off].sum(axis=1))
    return half if np.isfinite(half).all() else packed


def _rounded_up(numbers: Floats) -> npt.NDArray[np.float16]:
    nearest = numbers.astype(np.float16)
    return np.where(nearest.astype(np.float32) < numbers, np.nextafter(nearest, np.float16(np.inf)), nearest)
