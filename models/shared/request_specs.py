"""The inputs of a signature that describe a user: one declaration for retrieval and ranking."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from homefeed.models.sequences import Sequences


@dataclasses.dataclass(frozen=True)
class RequestFeatures:
    """What the training data knows of a user; what it never held is no input of a request.

    Attributes:
        has_values: whether events have values.
        categorical: user feature → whether it has several values.
        numeric: user feature → its size; 1: a number.
        vocabularies: the strings behind `event_type` and the categorical features, as in Sequences.
    """

    has_values: bool
    categorical: Mapping[str, bool]
    numeric: Mapping[str, int]
    vocabularies: Mapping[str, tuple[str, ...]]

    @property
    def specs(self) -> dict[str, tf.TensorSpec]:
        """Input name → spec."""
        specs = {
            "history": _spec("history", tf.string, 2),
            "history_timestamp": _spec("history_timestamp", tf.int64, 2),
        }
        if self.has_values:
            specs["history_value"] = _spec("history_value", tf.float32, 2)
        if self.vocabularies.get("event_type"):
            specs["history_event_type"] = _spec("history_event_type", tf.string, 2)
        for name, is_several in self.categorical.items():
            specs[f"user_{name}"] = _spec(f"user_{name}", tf.string, 2 if is_several else 1)
        for name, size in self.numeric.items():
            specs[f"user_{name}"] = tf.TensorSpec(
                [None] if size == 1 else [None, size], tf.float32, name=f"user_{name}"
            )
        return specs


def request_features(train: Sequences) -> RequestFeatures:
    """Learns it from the training split."""
    return RequestFeatures(
        has_values=bool(np.isfinite(train.value).any()),
        categorical={name: positions.shape[1] > 1 for name, positions in train.categorical.items()},
        numeric={name: column.shape[1] for name, column in train.numeric.items() if np.isfinite(column).any()},
        vocabularies=train.vocabularies,
    )


def _spec(name: str, dtype: tf.DType, rank: int) -> tf.TensorSpec:
    return tf.TensorSpec([None] * rank, dtype, name=name)
