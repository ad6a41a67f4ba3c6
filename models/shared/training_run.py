"""What belongs to one training, and not to the model that it makes."""

from __future__ import annotations

import dataclasses

import pydantic

from homefeed.schemas.settings import FolderOrNone, Seed


@dataclasses.dataclass(frozen=True)
class SeededRun:
    """A training can be repeated."""

    seed: Seed = 0  # Of everything random in the training.


@dataclasses.dataclass(frozen=True)
class TrainingRun(SeededRun):
    """Where a training begins. A trainer's hyperparameters inherit it, so that one object is handed on."""

    # Snapshots keep hyperparameters: one of another version of homefeed is refused, not read as if it were ours.
    __pydantic_config__ = pydantic.ConfigDict(extra="forbid")

    base_model: FolderOrNone = ""  # Folder of an earlier Model to go on from; empty: from scratch.
