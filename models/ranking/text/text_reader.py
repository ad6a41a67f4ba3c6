"""BERT's readings of users and of items."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.behaviour_text.user_sequence import UserSequence
from homefeed.models.ranking.layers.pooling import weighted_mean


class TextReader:
    """Asks a BERT for what it makes of token sequences.

    Args:
        bert: a `BertBackbone`; whoever trains it holds its weights.
        text: assembles what it reads.
    """

    def __init__(self, bert: Any, text: UserSequence):
        self._bert = bert
        self._text = text
        self._read_items = tf.function(self.items, reduce_retracing=True)

    def read(
        self, tokens: tf.Tensor, training: bool = False, segments: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """[batch, length] int32 tokens, 0-padded → [batch, length, width] float32, and bool where one is."""
        present = tokens > 0
        inputs = {
            "token_ids": tokens,
            "segment_ids": tf.zeros_like(tokens) if segments is None else segments,
            "padding_mask": tf.cast(present, tf.int32),
        }
        return self._bert(inputs, training=training)["sequence_output"], present

    def items(self, token_ids: tf.Tensor) -> tf.Tensor:
        """[num_items, tokens] int32 → [num_items, width] float32: [CLS] text [SEP], mean over tokens."""
        output, present = self.read(self._text.of_items(token_ids))
        return weighted_mean(output, tf.cast(present, tf.float32))

    def catalogue(self, batch_size: int = 256) -> npt.NDArray[np.float32]:
        """[num_rows, width] float32 readings of every item of the catalogue."""
        table = self._text.tables.items
        parts = [
            self._read_items(tf.constant(table[start : start + batch_size])).numpy()
            for start in range(0, len(table), batch_size)
        ]
        return np.concatenate(parts)
