"""Attention from candidates to memories: a user's events or words."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf


class CandidateAttention(keras.layers.Layer):
    """Multi-head attention (Vaswani et al., 2017) whose queries are candidates and whose keys are memories.

    It differs in one more slot of zeros, so that a candidate with nothing to look at gets zeros.

    Args:
        width: size of the result.
        num_heads: divides `width`.
    """

    def __init__(self, width: int, num_heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.width = width
        self.num_heads = num_heads
        self._query, self._key, self._value = (
            keras.layers.Dense(width, name=name) for name in ("query", "key", "value")
        )

    def build(self, shapes: Any) -> None:
        """Makes the projections of queries, keys and values."""
        candidates, memory = shapes[0], shapes[1]
        self._query.build(candidates)
        self._key.build(memory)
        self._value.build(memory)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor | None]) -> tf.Tensor:
        """Attends from each candidate to the memories.

        Args:
            inputs: candidates [batch, num_candidates, c]; memory [batch, num_slots, m]; [batch, num_slots] bool,
                True where there is something; [batch, num_slots] logits to add, or None.

        Returns:
            [batch, num_candidates, width] float32.
        """
        candidates, memory, present, bias = inputs
        query, key, value = (
            self._heads(project(x))
            for project, x in ((self._query, candidates), (self._key, memory), (self._value, memory))
        )
        logits = tf.matmul(query, key, transpose_b=True) / np.sqrt(self.width // self.num_heads)
        if bias is not None:
            logits += bias[:, None, None, :]
        logits = tf.where(present[:, None, None, :], logits, -1e9)
        weights = tf.nn.softmax(tf.pad(logits, ((0, 0), (0, 0), (0, 0), (0, 1))), axis=-1)[..., :-1]
        attended = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])
        return tf.reshape(attended, [tf.shape(candidates)[0], tf.shape(candidates)[1], self.width])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "width": self.width, "num_heads": self.num_heads}

    def _heads(self, x: tf.Tensor) -> tf.Tensor:
        shape = [tf.shape(x)[0], tf.shape(x)[1], self.num_heads, self.width // self.num_heads]
        return tf.transpose(tf.reshape(x, shape), [0, 2, 1, 3])
