"""Writes the retrieval model as a SavedModel."""

from __future__ import annotations

import pathlib

import tensorflow as tf

from models.retrieval import retriever


def save(module: retriever.Retriever, folder: pathlib.Path) -> None:
    """Saves the signatures; the folder loads in a process that has no code of ours."""
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder), signatures=module.signatures(), options=options)
