"""The training curve, for TensorBoard and for people."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from typing import Generic, Self, TypeVar

import tensorflow as tf

# A dataclass of numbers, one pass over the data; NaN is what could not be measured.
Epoch = TypeVar("Epoch")


class TrainingLog(Generic[Epoch]):
    """Collects epochs and writes each as TensorBoard scalars, by the names of their fields; a context manager.

    Args:
        folder: where the event file goes.
    """

    def __init__(self, folder: pathlib.Path):
        self.epochs: list[Epoch] = []
        self._writer = tf.summary.create_file_writer(str(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, epoch: Epoch) -> None:
        """Adds an epoch."""
        self.epochs.append(epoch)
        with self._writer.as_default(step=len(self.epochs)):
            for name, value in self.curve()[-1].items():
                if value is not None:
                    tf.summary.scalar(name, float(value))

    def curve(self) -> list[dict[str, float | None]]:
        """One row an epoch, fit for JSON: what could not be measured is None."""
        return [
            {name: value if math.isfinite(value) else None for name, value in dataclasses.asdict(epoch).items()}  # type: ignore[call-overload]
            for epoch in self.epochs
        ]
