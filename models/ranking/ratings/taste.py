"""A user's taste in ratings, estimated inside the graph from the history in the request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from homefeed.models.ranking.ratings import factors as rating_factors


class RatingTaste:
    """The posterior of a user's factors, given those of items (`homefeed.models.ranking.ratings.factors`).

    A Bayesian linear regression of the history's ratings on the items' factors, solved in closed form, so that
    a user who is new, or who rated something a second ago, needs no training.

    Args:
        fits: the first is for serving. What trains on a user's events uses a fit that has not seen that user:
            the ratings that factors were fitted to look easier to predict than others will be.
    """

    def __init__(self, fits: Sequence[rating_factors.RatingFactors]):
        self.num_rows = len(fits[0].items)
        self.size = fits[0].items.shape[1]
        tables = [rating_factors.item_tables(fit) for fit in fits]
        self._design = _stack([t[0] for t in tables])
        # Symmetric matrices: one half of each is all there is to keep, and to add up.
        row, column = np.triu_indices(self.size)
        self._second = _stack([t[1][:, row, column] for t in tables])
        places = np.zeros((self.size, self.size), np.int32)
        places[row, column] = places[column, row] = np.arange(len(row))
        self._places = tf.constant(places.ravel())
        self._with_bias = _stack([t[2] for t in tables])
        self._bias = _stack([fit.items[:, 0] for fit in fits])
        self._bias_variance = _stack([fit.covariances[:, 0, 0] for fit in fits])
        self._mean = _stack([[[fit.mean]] for fit in fits])
        self._noise = _stack([[[fit.noise]] for fit in fits])
        self._precision = _stack([fit.user_precision[None] for fit in fits])
        self._user_weights = _stack([fit.user_weights for fit in fits])
        self._num_fits = len(fits)

    @property
    def constants(self) -> list[tf.Variable]:
        """The fitted constants, which a SavedModel must reach."""
        return [value for value in vars(self).values() if isinstance(value, tf.Variable)]

    def keep_serving_fit(self) -> None:
        """Drops all fits but the first."""
        for name, value in list(vars(self).items()):
            if isinstance(value, tf.Variable):
                setattr(self, name, tf.Variable(value[: value.shape[0] // self._num_fits], trainable=False))
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
        design = tf.gather(self._design, rows) * known[..., None]
        second = tf.reduce_sum(tf.gather(self._second, rows) * known[..., None], axis=1)
        with_bias = tf.reduce_sum(tf.gather(self._with_bias, rows) * known[..., None], axis=1)
        prior = tf.gather(self._precision, fit)
        second = tf.gather(second, self._places, axis=1)
        shape = [tf.shape(fit)[0], self.size, self.size]
        precision = tf.linalg.diag(prior) + tf.reshape(second, shape) / noise[..., None]
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
        design = tf.gather(self._design, rows)
        mean = tf.gather(self._mean, fit) + tf.gather(self._bias, rows) + tf.matmul(design, taste)[..., 0]
        of_user = tf.reduce_sum(tf.square(tf.linalg.triangular_solve(root, tf.transpose(design, [0, 2, 1]))), axis=1)
        variance = tf.gather(self._noise, fit) + of_user + tf.gather(self._bias_variance, rows)
        return mean, tf.sqrt(variance)


def _stack(fits: Sequence[Any]) -> tf.Variable:
    return tf.Variable(np.concatenate(fits).astype(np.float32), trainable=False)
