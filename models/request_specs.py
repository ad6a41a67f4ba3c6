"""The inputs of a signature that describe a user: one declaration for retrieval and ranking."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.sequences import Sequences


def request_specs(train: Sequences) -> dict[str, tf.TensorSpec]:
    """Input name → spec of what the training data knows of a user; what it never held is no input."""
    specs = {"history": _spec("history", tf.string, 2), "history_timestamp": _spec("history_timestamp", tf.int64, 2)}
    if np.isfinite(train.value).any():
        specs["history_value"] = _spec("history_value", tf.float32, 2)
    if train.vocabularies.get("event_type"):
        specs["history_event_type"] = _spec("history_event_type", tf.string, 2)
    for name, positions in train.categorical.items():
        specs[f"user_{name}"] = _spec(f"user_{name}", tf.string, 1 if positions.shape[1] == 1 else 2)
    for name, numbers in train.numeric.items():
        if np.isfinite(numbers).any():
            sizes = [None] if numbers.shape[1] == 1 else [None, numbers.shape[1]]
            specs[f"user_{name}"] = tf.TensorSpec(sizes, tf.float32, name=f"user_{name}")
    return specs


def _spec(name: str, dtype: tf.DType, rank: int) -> tf.TensorSpec:
    return tf.TensorSpec([None] * rank, dtype, name=name)
