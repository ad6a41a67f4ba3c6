"""Steps of training, on one device or on several."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from homefeed.models.errors import ModelError
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.towers import replicas
from homefeed.models.retrieval.towers.two_tower import Tensors, TwoTower
from homefeed.models.retrieval.training.evaluation import tensors
from homefeed.models.retrieval.training.lazy_table import LazyTable
from homefeed.models.retrieval.training.optimizer import decay_of
from homefeed.models.retrieval.training.weight_average import WeightAverage
from homefeed.models.retrieval.training.windows import Batch


class Learner:
    """Changes a model's weights, and keeps their running means.

    Args:
        model: untrained.
        optimizer: applies the gradients; not built yet.
        config: batch size, momentum of the mean.
        start: called with the model once its weights exist, which it may set.

    Raises:
        ModelError: the devices cannot share a batch evenly.
    """

    def __init__(
        self,
        model: TwoTower,
        optimizer: tf.keras.optimizers.Optimizer,
        config: Hyperparameters,
        start: Callable[[TwoTower], object],
    ):
        self._model = model
        self._config = config
        self._start = start
        self._strategy = tf.distribute.get_strategy()
        self._num_replicas = self._strategy.num_replicas_in_sync
        if config.batch_size % self._num_replicas:
            raise ModelError(
                f"`batch_size` is {config.batch_size}, which {self._num_replicas} devices cannot share: choose "
                "a multiple of their number, or `strategy: none`."
            )
        self._optimizer = optimizer
        self._average: WeightAverage | None = None

    def step(self, batch: Batch) -> tf.Tensor:
        """One update; returns the loss."""
        inputs = tensors(batch)
        if self._average is None:
            self._build(inputs)
        return self._step(inputs)

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """A context in which the model holds the means of its weights; they exist after the first step."""
        assert self._average is not None
        return self._average.applied()

    def reseed(self, epoch: int) -> None:
        """Draws what is dropped anew, by the epoch alone, so that a process can go on where another one ended."""
        tf.random.set_seed(self._config.seed + epoch)
        if self._average is not None:
            self._step = self._traced()  # A trace keeps its seeds, and how often they were drawn from.

    def build(self, batch: Batch) -> None:
        """Makes the weights, by the form of a batch."""
        self._build(tensors(batch))

    def state(self) -> list[npt.NDArray[Any]]:
        """The value of every variable that a step changes."""
        return [variable.numpy() for variable in self._variables()]

    def restore(self, state: Sequence[npt.NDArray[Any]]) -> None:
        """Sets the variables to what `state` gave; they were built."""
        for variable, value in zip(self._variables(), state, strict=True):
            variable.assign(value)

    def _variables(self) -> list[tf.Variable]:
        assert self._average is not None
        of_tables = [variable for lazy in self._lazy for variable in lazy.variables]
        return [*self._model.trainable_variables, *self._optimizer.variables, *self._average.means, *of_tables]

    def _build(self, inputs: Tensors) -> None:
        """What can only be done once the weights exist."""
        self._model.compute_loss(inputs)
        self._start(self._model)
        # Devices that share a batch would have to share the rows that each of them read: there all tables are dense.
        tables = [] if tf.distribute.has_strategy() else self._model.item_tables
        self._lazy = [LazyTable(table, decay_of(table, self._config)) for table in tables]
        self._dense = [v for v in self._model.trainable_variables if not any(v is table for table in tables)]
        self._optimizer.build(self._dense)
        # One trace for every number and length of windows.
        self._specs = {name: tf.TensorSpec([None] * t.ndim, t.dtype) for name, t in inputs.items()}
        self._average = WeightAverage(self._dense, self._config.ema_momentum, self._lazy)
        self._step = self._traced()

    def _traced(self) -> Callable[[Tensors], tf.Tensor]:
        return tf.function(self._update, input_signature=[self._specs], autograph=False)

    def _update(self, batch: Tensors) -> tf.Tensor:
        """One update by all replicas, each with its part of the batch."""
        losses = self._strategy.run(lambda: self._update_replica(replicas.part(batch)))
        return self._strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None)

    def _update_replica(self, batch: Tensors) -> tf.Tensor:
        assert self._average is not None
        tables = [lazy.table for lazy in self._lazy]
        with tf.GradientTape() as tape:
            loss = self._model.compute_loss(batch, training=True)
            share = loss / self._num_replicas if self._num_replicas > 1 else loss
        dense, of_rows = tape.gradient(share, [self._dense, tables])
        gradients = [tf.convert_to_tensor(gradient) for gradient in dense]
        self._optimizer.apply_gradients(zip(gradients, self._dense, strict=True))
        step = self._optimizer.iterations
        self._average.update(step)
        for lazy, gradient in zip(self._lazy, of_rows, strict=True):
            lazy.update(gradient, step, self._optimizer.learning_rate, self._average.momentum(step))
        return loss
