"""Running means of weights, which rank better than the last weights do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf


class WeightAverage:
    """Exponential moving averages (Polyak and Juditsky 1992), which begin as plain means.

    After step t a mean keeps the share min(`momentum`, (1 + t) / (10 + t)) of itself.

    Args:
        variables: as training changes them; the means start where they stand.
        momentum: of the means, in the long run.
    """

    def __init__(self, variables: Sequence[tf.Variable], momentum: float):
        self._variables = variables
        self._momentum = momentum
        mean = tf.VariableAggregation.MEAN
        self.means = [tf.Variable(variable, trainable=False, aggregation=mean) for variable in variables]

    def update(self, step: tf.Tensor) -> None:
        """Takes the variables in; `step` [] int: how many times they have changed, 1 after the first."""
        steps = tf.cast(step, tf.float32)
        momentum = tf.minimum(self._momentum, (1 + steps) / (10 + steps))
        for mean, variable in zip(self.means, self._variables, strict=True):
            mean.assign(momentum * mean + (1 - momentum) * variable)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within this context the variables hold the means."""
        kept = [variable.numpy() for variable in self._variables]
        _assign(self._variables, [mean.numpy() for mean in self.means])
        try:
            yield
        finally:
            _assign(self._variables, kept)


def _assign(variables: Sequence[tf.Variable], values: Sequence[tf.Tensor]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
