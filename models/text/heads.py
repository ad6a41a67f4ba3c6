"""Heads on readings of texts: what a request wants, what an item offers, how popular a text is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

MEMORIES = {"last": 0.1, "lately": 3.0, "long": 20.0}
"""Contexts of a history: events after which an event's text counts 1/e."""

CONTEXTS = (*MEMORIES, "query")


class TextHeads(keras.layers.Layer):
    """Two towers in small (Huang et al., 2013, DSSM) on readings of texts.

    All that they read is text, so that an item nobody has had is judged like the others, and a query finds items
    that say the same in other words. Each context of a request (the last event, the latest, the long run, the query)
    has a projection of its own, candidates have one, and a bias says how popular a text like this is. Everything is
    linear in the readings, so that a catalogue is projected once and a request costs a few gathers.

    Args:
        width: of readings.
        size: of the vectors that are compared.
    """

    def __init__(self, width: int, size: int = 16, **kwargs: Any):
        super().__init__(**kwargs)
        self.width = width
        self.size = size
        self._contexts = {name: self._kernel(name, (width, size), "zeros") for name in CONTEXTS}
        self._candidates = self._kernel("candidates", (width, size), keras.initializers.GlorotUniform(seed=0))
        self._bias = self.add_weight(name="bias_kernel", shape=(width, 1), initializer="zeros", trainable=False)
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """What the layer was made with."""
        return super().get_config() | {"width": self.width, "size": self.size}

    def offered(self, readings: tf.Tensor) -> tf.Tensor:
        """[..., width] float32 readings of candidates → [..., size]."""
        return tf.tensordot(readings, self._candidates.value, 1)

    def popularity(self, readings: tf.Tensor) -> tf.Tensor:
        """[..., width] float32 readings of candidates → [...] logits: how often such texts are picked."""
        return tf.tensordot(readings, self._bias.value, 1)[..., 0]

    def set_popularity(self, kernel: npt.NDArray[np.float32]) -> None:
        """Takes what `popularity` projects by, [width, 1]."""
        self._bias.assign(kernel)

    def events(self, readings: tf.Tensor) -> dict[str, tf.Tensor]:
        """Readings of items as events of a history: context → [..., size] of [..., width]."""
        return {name: tf.tensordot(readings, self._contexts[name].value, 1) for name in MEMORIES}

    def query(self, readings: tf.Tensor) -> tf.Tensor:
        """[batch, width] float32 readings of queries, 0 where there is none → [batch, size]."""
        return tf.matmul(readings, self._contexts["query"].value)

    def wanted(self, events: Mapping[str, tf.Tensor], attention: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """What histories make one want.

        Args:
            events: what `events` gives of all items that occur, [num_events, size] each.
            attention: context → [batch, num_events] float32, how much each of them counts; see `memory`.

        Returns:
            [batch, size] float32; 0 where there is no history.
        """
        return tf.add_n([tf.matmul(attention[name], events[name]) for name in MEMORIES])

    def wanted_in(self, contexts: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """What contexts that were read already make one want: name → [batch, width] readings → [batch, size]."""
        return tf.add_n([tf.matmul(reading, self._contexts[name].value) for name, reading in contexts.items()])

    def _kernel(self, name: str, shape: tuple[int, int], initializer: Any) -> Any:
        return self.add_weight(name=f"{name}_kernel", shape=shape, initializer=initializer)


def memory(history: npt.NDArray[np.int32], length: float) -> npt.NDArray[np.float32]:
    """How much each event of a history counts in one context.

    Args:
        history: [batch, num_events] int32 rows, newest first, 0 for none.
        length: events after which one counts 1/e.

    Returns:
        [batch, num_events] float32; the rows sum to 1, or to 0 where there is no event.

    Example:
        >>> memory(np.array([[7, 0, 3]]), 1 / np.log(2)).round(3)  # The second event counts half.
        array([[0.667, 0.   , 0.333]], dtype=float32)
    """
    known = (history > 0).astype(np.float32)
    weights = np.exp(-(np.cumsum(known, axis=1) - 1) / length).astype(np.float32) * known
    return weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)


def memories(readings: tf.Tensor, known: tf.Tensor) -> dict[str, tf.Tensor]:
    """`memory` in the graph, applied: the contexts that histories give.

    Args:
        readings: [batch, num_events, width] float32 readings of the events' items, newest first.
        known: [batch, num_events] float32, 1 where there is an event; gaps count nothing.

    Returns:
        Context → [batch, width] float32; 0 without events.
    """
    return memories_of(dict.fromkeys(MEMORIES, readings), known)


def memories_of(events: Mapping[str, tf.Tensor], known: tf.Tensor) -> dict[str, tf.Tensor]:
    """`memories` of what each context reads by itself: context → [batch, num_events, width], such as `events` of
    TextHeads."""
    age = tf.cumsum(known, axis=1) - 1
    return {name: weighted_mean(events[name], tf.exp(-age / length) * known) for name, length in MEMORIES.items()}


def weighted_mean(vectors: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """[batch, n, width] and [batch, n] → [batch, width]; 0 where all weights are."""
    total = tf.reduce_sum(weights, 1, keepdims=True)
    return tf.math.divide_no_nan(tf.linalg.matvec(vectors, weights, transpose_a=True), total)
