"""Affinity of texts: inner products of what BERT reads in a candidate, in events and in a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from homefeed.models.ranking.layers.pooling import weighted_mean

MEMORIES = {"last": 0.1, "lately": 3.0, "long": 20.0}  # Context → events after which an event's text counts 1/e.
_SIZE = 16
_DROPOUT = 0.1


class TextAffinity(keras.layers.Layer):
    """The inner product of learnt projections: one for each context of a request, and one for candidates' texts.

    Two towers in small (Huang et al., 2013, DSSM). All that they read comes from BERT, so that a cold-start item is
    judged like the others, and a query finds items that say the same in other words. Untrained it gives 0;
    `homefeed.models.ranking.training.text_affinity` trains it, apart from the ranker's other weights.

    Args:
        contexts: their names.
        width: of BERT.
    """

    def __init__(self, contexts: Sequence[str], width: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.contexts = tuple(contexts)
        self.width = width
        self._contexts = {name: self._kernel(name, keras.initializers.Zeros()) for name in contexts}
        self._candidates = self._kernel("candidates", keras.initializers.GlorotUniform(seed=0))
        self._dropout = keras.layers.Dropout(_DROPOUT, seed=0)
        self.built = True

    @property
    def kernels(self) -> list[Any]:
        """The trained variables."""
        return [*self._contexts.values(), self._candidates]

    def call(self, inputs: tuple[Mapping[str, tf.Tensor], tf.Tensor], training: bool = False) -> tf.Tensor:
        """Logits of the candidates.

        Args:
            inputs: each context [batch, width] float32, 0 where there is none; and BERT's readings of candidates
                [batch or 1, num_candidates, width] float32.
            training: whether dropout acts.

        Returns:
            [batch, num_candidates] float32, in nats.
        """
        contexts, texts = inputs
        projected = [
            tf.matmul(self._dropout(contexts[name], training=training), kernel.value)
            for name, kernel in self._contexts.items()
        ]
        wanted = tf.add_n(projected)
        offered = tf.tensordot(self._dropout(texts, training=training), self._candidates.value, 1)
        if texts.shape[0] == 1:  # The same candidates for everybody: one product.
            return tf.matmul(wanted, offered[0], transpose_b=True)
        return tf.linalg.matvec(offered, wanted)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "contexts": self.contexts, "width": self.width}

    def _kernel(self, name: str, initializer: Any) -> Any:
        # Not among what the ranker trains; learnt anew even where training goes on from an earlier model.
        shape = (self.width, _SIZE)
        return self.add_weight(name=f"{name}_kernel", shape=shape, initializer=initializer, trainable=False)


def memories(readings: tf.Tensor, known: tf.Tensor) -> dict[str, tf.Tensor]:
    """The contexts that a history gives, after MEMORIES.

    Args:
        readings: [batch, num_events, width] float32, BERT's readings of the events' items, newest first.
        known: [batch, num_events] float32, 1 where there is an event; gaps count nothing.

    Returns:
        Context → [batch, width] float32 mean, in which an event weighs exp(-age / length); 0 without events.
    """
    age = tf.cumsum(known, axis=1) - 1
    return {name: weighted_mean(readings, tf.exp(-age / length) * known) for name, length in MEMORIES.items()}
