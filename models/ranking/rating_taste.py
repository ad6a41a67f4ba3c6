"""A user's taste in ratings, estimated from the history in the request."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf


class RatingTaste(keras.layers.Layer):
    """Bayesian linear regression of a user's ratings on learnt item factors, solved inside the graph.

    A rating of item i is b_i + x_i·w + noise with w ~ N(0, 1): probabilistic matrix factorisation
    (Salakhutdinov and Mnih, 2008) whose user side is integrated out, so that a new user, or one who rated an
    item a second ago, needs no training. b and x are trained through the solution, on ratings that the
    estimate has not seen, as in meta-learning with closed-form solvers (Bertinetto et al., 2019).

    Args:
        noise: standard deviation of the noise to start from, in the unit of the ratings.
    """

    def __init__(self, noise: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.noise = noise

    def build(self, _: Any) -> None:
        """The noise is learnt as well."""
        self._log_noise = self.add_weight(
            name="log_noise", shape=(), initializer=keras.initializers.Constant(np.log(self.noise))
        )

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Estimates, then predicts.

        Args:
            inputs: factors [batch, num_events, f] of what was rated; [batch, num_events] ratings less the items'
                means; [batch, num_events] float32, 1 where there is a rating, 0 elsewhere; factors
                [batch, num_candidates, f] of what to predict.

        Returns:
            [batch, num_candidates] float32 means (without the items' own) and standard deviations.
        """
        factors, ratings, known, candidates = inputs
        precision = tf.exp(-2.0 * self._log_noise.value)
        seen = factors * known[..., None]
        size = factors.shape[-1]
        inverse_covariance = tf.eye(size) + precision * tf.matmul(seen, seen, transpose_a=True)
        root = tf.linalg.cholesky(inverse_covariance)
        taste = tf.linalg.cholesky_solve(
            root, precision * tf.matmul(seen, (ratings * known)[..., None], transpose_a=True)
        )
        mean = tf.matmul(candidates, taste)[..., 0]
        spread = tf.linalg.triangular_solve(root, tf.transpose(candidates, [0, 2, 1]))
        return mean, tf.sqrt(tf.reduce_sum(tf.square(spread), axis=1) + 1e-6)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "noise": self.noise}
