"""Writes a SavedModel that loads in a process without any code of ours."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

VOCABULARY_FILE = "vocab.txt"  # Among the assets: what queries and new items' texts are tokenised with.
Shard = dict[str, dict[str, tf.Tensor]]  # One file: checkpoint key → slice → tensor.

LARGE = 1 << 18  # Bytes from which on a tensor has a file of its own.


class Servable(Protocol):
    """A `tf.Module` that names what it serves."""

    def signatures(self) -> dict[str, Any]:
        """Name → function; `serving_default` is TensorFlow Serving's own name for the most important one."""


class LargeTensorsApart(tf.train.experimental.ShardingCallback):
    """Gives each tensor of `LARGE` bytes and more a file, which holds its bytes alone: models with a table in common,
    as the fused model has with both of its parts, have equal files, of which a serving directory keeps one."""

    @property
    def description(self) -> str:
        """For TensorFlow's own metrics."""
        return "Each large tensor by itself, all others together."

    def __call__(self, shardable_tensors: Sequence[tf.train.experimental.ShardableTensor]) -> list[Shard]:
        """The files to write."""
        small: Shard = {}
        shards: list[Shard] = []
        for item in shardable_tensors:
            shard = small
            if _num_bytes(item.tensor) >= LARGE:
                shards.append(shard := {})
            shard.setdefault(item.checkpoint_key, {})[item.slice_spec] = item.tensor
        return [*shards, small] if small else shards


def _num_bytes(tensor: tf.Tensor) -> int:
    """Of strings about as many as ids and titles have."""
    of_each = 16 if tensor.dtype == tf.string else tensor.dtype.size
    return int(np.prod(tensor.shape.as_list(), dtype=np.int64)) * of_each


def save(module: Servable, folder: pathlib.Path, vocabulary: Sequence[str] = ()) -> None:
    """Saves a module's signatures.

    Args:
        module: holds all that they read.
        folder: where to.
        vocabulary: tokens by id, which become `assets/vocab.txt`; without any, the module has no such asset.
    """
    options = tf.saved_model.SaveOptions(
        experimental_custom_gradients=False, experimental_sharding_callback=LargeTensorsApart()
    )
    with tempfile.TemporaryDirectory(prefix="homefeed-") as assets:
        if vocabulary:
            file = pathlib.Path(assets) / VOCABULARY_FILE
            file.write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
            module.vocabulary_file = tf.saved_model.Asset(str(file))  # type: ignore[attr-defined]
        tf.saved_model.save(module, str(folder), signatures=module.signatures(), options=options)
