"""The training curve, for TensorBoard and for people."""

from __future__ import annotations

import dataclasses
import math
import pathlib

import tensorflow as tf

from models.retrieval.training import Epoch


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
        with self._writer.as_default(step=epoch.epoch):
            tf.summary.scalar("loss", epoch.loss)
            if not math.isnan(epoch.ndcg):
                tf.summary.scalar("eval/ndcg@10", epoch.ndcg)
                tf.summary.scalar("eval/recall@100", epoch.recall)

    def curve(self) -> list[dict[str, float | None]]:
        """One row an epoch, fit for JSON: what could not be measured is None."""
        return [
            {name: None if math.isnan(value) else value for name, value in dataclasses.asdict(epoch).items()}
            for epoch in self.epochs
        ]

    def summary(self) -> str:
        """How many epochs, and the best of them."""
        measured = [epoch for epoch in self.epochs if not math.isnan(epoch.ndcg)]
        if not measured:
            return f"{len(self.epochs)} epochs, nothing to evaluate on"
        best = max(measured, key=lambda epoch: epoch.ndcg_100)
        return f"{len(self.epochs)} epochs, NDCG@10 {best.ndcg:.4f} on eval"
