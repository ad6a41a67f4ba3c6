"""How far a training has come: what a process needs to go on where another one ended."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.catalogue import Catalogue
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.training.evaluation import Epoch
from homefeed.models.retrieval.training.learner import Learner
from homefeed.models.sequences import Sequences

Arrays = list[npt.NDArray[Any]]


@dataclasses.dataclass
class Course:
    """Epochs so far, and the weights of the best of them.

    Attributes:
        rows: one an epoch.
        best_weights: of the epoch that ranked the eval split best; None: none was evaluated here yet.
    """

    rows: list[Epoch] = dataclasses.field(default_factory=list)
    best_quality: float = -1.0
    best_epoch: int = 0
    best_weights: Arrays | None = None

    def take(self, row: Epoch, weights: Sequence[npt.NDArray[Any]]) -> None:
        """An epoch that was evaluated, and the weights that were."""
        self.rows.append(row)
        if math.isnan(row.quality) or row.quality > self.best_quality:
            self.best_quality, self.best_epoch, self.best_weights = row.quality, row.epoch, list(weights)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A file that holds the newest epoch of one training, whole or not at all.

    Attributes:
        path: of the file; None: nothing is kept.
    """

    path: pathlib.Path | None

    @classmethod
    def of(
        cls,
        folder: pathlib.Path | None,
        config: Hyperparameters,
        catalogue: Catalogue,
        train: Sequences,
        evaluation: Sequences,
    ) -> Checkpoint:
        """Its place in a folder, by what is trained and chosen on what: another training's is not met."""
        if folder is None:
            return cls(None)
        key = hashlib.blake2b(repr(config).encode(), digest_size=8)
        for part in (catalogue, train, evaluation):
            for field in dataclasses.fields(part):
                _update(key, getattr(part, field.name))
        return cls(folder / f"{key.hexdigest()}.npz")

    def save(self, course: Course, learner: Learner, random: np.random.Generator) -> None:
        """Writes the course, all that a step changes, and the state of `random`, in the place of the last one."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        facts = dataclasses.asdict(dataclasses.replace(course, best_weights=None))
        facts["random"] = random.bit_generator.state
        arrays = {f"state_{i}": array for i, array in enumerate(learner.state())}
        arrays |= {f"best_{i}": array for i, array in enumerate(course.best_weights or ())}
        unfinished = self.path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            np.savez(file, facts=np.array(json.dumps(facts)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self.path)

    def load(self, random: np.random.Generator) -> tuple[Course, Arrays]:
        """The course and the learner's state as they were kept, with `random` as it was; empty: there is none."""
        if self.path is None or not self.path.is_file():
            return Course(), []
        with np.load(self.path) as arrays:
            facts = json.loads(str(arrays["facts"]))
            state, best = (_numbered(arrays, prefix) for prefix in ("state_", "best_"))
        random.bit_generator.state = facts.pop("random")
        facts |= {"rows": [Epoch(**row) for row in facts["rows"]], "best_weights": best or None}
        return Course(**facts), state


def _update(key: Any, value: Any) -> None:
    """Takes an array, a mapping of arrays, or something that its `repr` tells in full."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            key.update(repr(name).encode())
            _update(key, part)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        key.update(repr((value.dtype, value.shape)).encode())
        key.update(np.ascontiguousarray(value))
    else:
        key.update(repr(value.tolist() if isinstance(value, np.ndarray) else value).encode())


def _numbered(arrays: Any, prefix: str) -> Arrays:
    return [arrays[f"{prefix}{i}"] for i in range(sum(name.startswith(prefix) for name in arrays.files))]
