"""The training curve, for TensorBoard and for people."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from typing import ClassVar, Generic, Protocol, Self, TypeVar

import tensorflow as tf

from homefeed.models.shared import progress


class EpochLike(Protocol):
    """A dataclass of numbers, one pass over the training data; NaN is what was not measured."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[object]]]

    @property
    def training_loss(self) -> float:
        """The mean over the pass."""

    @property
    def quality(self) -> float:
        """By what epochs are compared on eval, the more the better; NaN: not evaluated."""

    @property
    def figure(self) -> str:
        """What people are told of an epoch, with its name: "NDCG@10 0.1234"."""


Epoch = TypeVar("Epoch", bound=EpochLike)


class TrainingLog(Generic[Epoch]):
    """Collects epochs and writes each as TensorBoard scalars, by the names of their fields; a context manager.

    Args:
        folder: where the event file goes.
        num_epochs: at most; 0: not known.
    """

    def __init__(self, folder: pathlib.Path, num_epochs: int = 0):
        self._num_epochs = num_epochs
        self.epochs: list[Epoch] = []
        self._writer = tf.summary.create_file_writer(str(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, epoch: Epoch) -> None:
        """Adds an epoch."""
        self.epochs.append(epoch)
        measured = f", {epoch.figure}" if math.isfinite(epoch.quality) else ""
        figures = f"training loss {epoch.training_loss:.4f}{measured}"
        progress.report(len(self.epochs), max(self._num_epochs, len(self.epochs)), figures)
        with self._writer.as_default(step=len(self.epochs)):
            for name, value in self.curve()[-1].items():
                if value is not None:
                    tf.summary.scalar(name, float(value))

    def curve(self) -> list[dict[str, float | None]]:
        """One row an epoch, fit for JSON: what was not measured is None."""
        return [
            {name: value if math.isfinite(value) else None for name, value in dataclasses.asdict(epoch).items()}
            for epoch in self.epochs
        ]

    def summary(self) -> str:
        """How many epochs, and the best of them."""
        if not self.epochs:
            return "not trained"
        measured = [epoch for epoch in self.epochs if math.isfinite(epoch.quality)]
        if not measured:
            return f"{len(self.epochs)} epochs, nothing to evaluate on"
        best = max(measured, key=lambda epoch: epoch.quality)
        return f"{len(self.epochs)} epochs, {best.figure} on eval"
