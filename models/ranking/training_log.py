"""The training curve, for TensorBoard and for people."""

from __future__ import annotations

import dataclasses
import pathlib

import tensorflow as tf

from models.ranking.training import Epoch


class TrainingLog:
    """Collects epochs and writes each as TensorBoard scalars; a context manager.

    Args:
        folder: where the event file goes.
    """

    def __init__(self, folder: pathlib.Path):
        self.epochs: list[Epoch] = []
        self._writer = tf.summary.create_file_writer(str(folder))

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, epoch: Epoch) -> None:
        """Adds an epoch."""
        self.epochs.append(epoch)
        with self._writer.as_default(step=len(self.epochs)):
            for name, value in dataclasses.asdict(epoch).items():
                tf.summary.scalar(name, float(value))

    def summary(self) -> str:
        """How many epochs, and the best of them."""
        if not self.epochs:
            return "not trained"
        best = min(epoch.eval_loss for epoch in self.epochs)
        return f"{len(self.epochs)} epochs, loss {best:.4f} on eval"
