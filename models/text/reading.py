"""BERT's reading of a text as one vector, and the scale of such vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.behaviour_text import wordpiece
from homefeed.models.text.heads import weighted_mean

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

DEVIATION_FLOOR = 0.2  # Of the median deviation: a dimension that hardly varies is noise when it is divided by it.
NUM_SPECIAL = len(wordpiece.SPECIAL_TOKENS)
BATCH = 256


@dataclasses.dataclass(frozen=True)
class Ends:
    """Turns texts into what BERT reads: [CLS] text [SEP].

    Attributes:
        vocabulary: tokens by id.
        length: the most tokens, ends counted.
        known: [num_tokens] bool, the words that are read; the others are left out. None: all are.
    """

    vocabulary: Sequence[str]
    length: int
    known: npt.NDArray[np.bool_] | None = None

    def __call__(self, token_ids: tf.Tensor) -> tf.Tensor:
        """[num_texts, tokens] int32, 0-padded → [num_texts, up to tokens + 2] int32.

        A text without a word that is read stays without a token.

        Example:
            >>> ends = Ends(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "x"], 4, np.array([1, 1, 1, 1, 1, 0], bool))
            >>> ends(tf.constant([[4, 4, 4], [5, 4, 0], [5, 0, 0]])).numpy()
            array([[2, 4, 4, 3],
                   [2, 4, 3, 0],
                   [0, 0, 0, 0]], dtype=int32)
        """
        if self.known is not None:
            kept = tf.gather(tf.constant(self.known), token_ids) & (token_ids > 0)
            token_ids = tf.ragged.boolean_mask(token_ids, kept).to_tensor(shape=[None, token_ids.shape[1]])
        token_ids = token_ids[:, : self.length - 2]
        cls, sep = (list(self.vocabulary).index(token) for token in (wordpiece.CLS, wordpiece.SEP))
        num_tokens = tf.math.count_nonzero(token_ids, axis=1, dtype=tf.int32)
        ended = tf.pad(token_ids, [[0, 0], [1, 1]])
        ended += tf.one_hot(tf.zeros_like(num_tokens), tf.shape(ended)[1], cls, 0, dtype=tf.int32)
        ended += tf.one_hot(num_tokens + 1, tf.shape(ended)[1], sep, 0, dtype=tf.int32)
        return ended * tf.cast(num_tokens > 0, tf.int32)[:, None]


def read(bert: Any, token_ids: tf.Tensor, training: bool = False) -> tf.Tensor:
    """[num_texts, tokens] int32, 0-padded → [num_texts, width] float32: mean over tokens of BERT's last layer."""
    present = token_ids > 0
    inputs = {
        "token_ids": token_ids,
        "segment_ids": tf.zeros_like(token_ids),
        "padding_mask": tf.cast(present, tf.int32),
    }
    output = bert(inputs, training=training)["sequence_output"]
    return weighted_mean(output, tf.cast(present, tf.float32))


class Reader:
    """Reads many texts: in batches, and short ones with short ones."""

    def __init__(self, bert: Any):
        self.bert = bert
        signature = [tf.TensorSpec([None, None], tf.int32)]
        self._read = tf.function(lambda tokens: read(bert, tokens), input_signature=signature)

    def __call__(self, token_ids: Ints) -> Floats:
        """[num_texts, tokens] int32 with ends, 0-padded → [num_texts, width] float32."""
        readings = np.zeros((len(token_ids), self.bert.hidden_dim), np.float32)
        lengths = (token_ids > 0).sum(axis=1)
        order = np.argsort(lengths, kind="stable")
        for start in range(0, len(order), BATCH):
            which = order[start : start + BATCH]
            longest = max(1, int(lengths[which].max()))
            readings[which] = self._read(tf.constant(token_ids[which, :longest])).numpy()
        return readings


@dataclasses.dataclass(frozen=True)
class Scale:
    """Mean and deviation by which readings are standardised.

    Attributes:
        mean, deviation: [width] float32.
    """

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, readings: Floats) -> Self:
        """The scale of [num_texts, width] readings."""
        mean, deviation = in_graph_scale(tf.constant(readings))
        return cls(mean.numpy(), deviation.numpy())

    def __call__(self, readings: Floats) -> Floats:
        """[..., width] → [..., width], about standard normal."""
        return (readings - self.mean) / self.deviation


def in_graph_scale(readings: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """[num_texts, width] → mean and floored deviation, [width] each."""
    mean, variance = tf.nn.moments(readings, axes=[0])
    deviation = tf.sqrt(variance + 1e-12)
    floor = DEVIATION_FLOOR * tf.sort(deviation)[tf.shape(deviation)[0] // 2]
    return mean, tf.maximum(tf.maximum(deviation, floor), 1e-6)
