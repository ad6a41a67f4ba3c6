"""Lists by the text model alone: what a history's texts make one want, and how often such texts are picked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.text.heads import memories
from homefeed.models.text.text_model import TextModel

_MAX_EVENTS = 50


class TextAlone:
    """Scores the catalogue that the text model read, new items like the others, from histories alone.

    Args:
        text: the trained text model.
    """

    def __init__(self, text: TextModel):
        self._heads = text.heads
        self._items = tf.constant(text.items)
        self._offered, self._popularity = text.heads.offered(self._items), text.heads.popularity(self._items)

    def scores(self, histories: Sequence[npt.NDArray[np.integer[Any]]]) -> npt.NDArray[np.float32]:
        """[num_queries, num_rows] float32, higher is better.

        Args:
            histories: rows of the catalogue, oldest first; 0 is skipped.
        """
        return self._scored(histories, self._offered, self._popularity)

    def scores_of(
        self, histories: Sequence[npt.NDArray[np.integer[Any]]], readings: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """[num_queries, num_texts] float32 of other texts: [num_texts, width] readings, as `TextModel.read_all` makes
        them.
        """
        items = tf.constant(readings)
        return self._scored(histories, self._heads.offered(items), self._heads.popularity(items))

    def _scored(
        self, histories: Sequence[npt.NDArray[np.integer[Any]]], offered: tf.Tensor, popularity: tf.Tensor
    ) -> npt.NDArray[np.float32]:
        newest = [history[history > 0][::-1][:_MAX_EVENTS] for history in histories]
        rows = np.zeros((len(newest), max([1, *map(len, newest)])), np.int32)
        for row, history in zip(rows, newest, strict=True):
            row[: len(history)] = history
        contexts = memories(tf.gather(self._items, rows), tf.cast(rows > 0, tf.float32))
        wanted = self._heads.wanted_in(contexts)
        scores: npt.NDArray[np.float32] = (tf.matmul(wanted, offered, transpose_b=True) + popularity).numpy()
        return scores
