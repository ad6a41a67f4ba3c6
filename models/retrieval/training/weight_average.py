"""Running means of weights, which rank better than the last weights do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf

from homefeed.models.retrieval.training.lazy_table import LazyTable


class WeightAverage:
    """Exponential moving averages (Polyak and Juditsky 1992), which begin as plain means.

    After step t a mean keeps the share min(`momentum`, (1 + t) / (10 + t)) of itself.

    Args:
        variables: as training changes them; the means start where they stand.
        momentum: of the means, in the long run.
        tables: further weights, which keep their means themselves.
    """

    def __init__(self, variables: Sequence[tf.Variable], momentum: float, tables: Sequence[LazyTable] = ()):
        self._variables = variables
        self._momentum = momentum
        self._tables = tables
        mean = tf.VariableAggregation.MEAN
        self.means = [tf.Variable(variable, trainable=False, aggregation=mean) for variable in variables]

    def momentum(self, step: tf.Tensor) -> tf.Tensor:
        """[] float32, the share that means keep; `step` [] int: how often weights have changed, 1 after the first."""
        steps = tf.cast(step, tf.float32)
        return tf.minimum(self._momentum, (1 + steps) / (10 + steps))

    def update(self, step: tf.Tensor) -> None:
        """Takes the variables in after a step."""
        momentum = self.momentum(step)
        for mean, variable in zip(self.means, self._variables, strict=True):
            mean.assign(momentum * mean + (1 - momentum) * variable)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within this context variables and tables hold the means."""
        weights = [*self._variables, *(lazy.table for lazy in self._tables)]
        kept = [weight.numpy() for weight in weights]
        _assign(weights, [*(mean.numpy() for mean in self.means), *(lazy.mean().numpy() for lazy in self._tables)])
        try:
            yield
        finally:
            _assign(weights, kept)


def _assign(variables: Sequence[tf.Variable], values: Sequence[tf.Tensor]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
