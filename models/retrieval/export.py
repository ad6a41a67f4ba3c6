"""Writes the retrieval model as a SavedModel."""

from __future__ import annotations

import pathlib
import tempfile

import tensorflow as tf

from homefeed.models.retrieval import retriever

VOCABULARY_FILE = "vocab.txt"  # Among the assets: what queries and new items' texts are tokenised with.


def save(module: retriever.Retriever, folder: pathlib.Path) -> None:
    """Saves the signatures; the folder loads in a process that has no code of ours."""
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    with tempfile.TemporaryDirectory(prefix="homefeed-") as assets:
        vocabulary = pathlib.Path(assets) / VOCABULARY_FILE
        vocabulary.write_text("".join(f"{token}\n" for token in module.wordpiece), encoding="utf-8")
        module.vocabulary = tf.saved_model.Asset(str(vocabulary))
        tf.saved_model.save(module, str(folder), signatures=module.signatures(), options=options)
