"""Steps of training: gradients, clipped, and what they change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.shared import optimizers
from homefeed.models.shared.lazy_adamw import LazyAdamW, by_row


class Learner:
    """Changes weights by AdamW; of the table of ids the rows that a step read.

    Args:
        variables: all that training changes.
        ids: the one among them that is a table with a row for each item.
        config: rates.
        num_steps: length of the training.
    """

    def __init__(
        self, variables: Sequence[keras.Variable], ids: keras.Variable, config: Hyperparameters, num_steps: int
    ):
        self._dense = [variable for variable in variables if variable is not ids]
        self._ids = ids
        self._adamw = optimizers.adamw(config.learning_rate, num_steps, config.weight_decay)
        self._adamw.build(self._dense)
        self._of_ids = LazyAdamW(ids.value)  # Tables of embeddings do not decay.

    def step(self, loss: Callable[[Any], tf.Tensor], batch: Any) -> tf.Tensor:
        """One update by the loss of a batch, which is returned."""
        values, ids = [variable.value for variable in self._dense], self._ids.value
        with tf.GradientTape() as tape:
            tape.watch([*values, ids])
            found = loss(batch)
        zero = tf.UnconnectedGradients.ZERO
        dense, of_ids = tape.gradient(found, [values, ids], unconnected_gradients=zero)
        rows, summed = by_row(of_ids)
        clipped, _ = tf.clip_by_global_norm([summed, *map(tf.convert_to_tensor, dense)], optimizers.CLIP_NORM)
        self._of_ids.update(rows, clipped[0], self._adamw.iterations + 1, self._adamw.learning_rate)
        self._adamw.apply(clipped[1:], self._dense)
        return found
