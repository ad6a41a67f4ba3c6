"""Writes a SavedModel that loads in a process without any code of ours."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any, Protocol

import tensorflow as tf

VOCABULARY_FILE = "vocab.txt"  # Among the assets: what queries and new items' texts are tokenised with.


class Servable(Protocol):
    """A `tf.Module` that names what it serves."""

    def signatures(self) -> dict[str, Any]:
        """Name → function; `serving_default` is TensorFlow Serving's own name for the most important one."""


def save(module: Servable, folder: pathlib.Path, vocabulary: Sequence[str] = ()) -> None:
    """Saves a module's signatures.

    Args:
        module: holds all that they read.
        folder: where to.
        vocabulary: tokens by id, which become `assets/vocab.txt`; without any, the module has no such asset.
    """
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    with tempfile.TemporaryDirectory(prefix="homefeed-") as assets:
        if vocabulary:
            file = pathlib.Path(assets) / VOCABULARY_FILE
            file.write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
            module.vocabulary_file = tf.saved_model.Asset(str(file))  # type: ignore[attr-defined]
        tf.saved_model.save(module, str(folder), signatures=module.signatures(), options=options)
