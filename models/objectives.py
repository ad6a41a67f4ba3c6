"""What lists are sorted for: the worth of what may come of an item that is shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.catalogue import Catalogue
from homefeed.models.errors import ModelError
from homefeed.models.evaluation.beyond_accuracy import surprise
from homefeed.models.sequences import Sequences
from homefeed.schemas.objectives import DISLIKE, LIKE, NOVELTY, Values
from homefeed.schemas.words import near

Floats = npt.NDArray[np.floating[Any]]


@dataclasses.dataclass(frozen=True)
class Objectives:
    """The objectives that a model knows.

    An outcome is that an interaction is liked, or that it is of one of `types`; `num_outcomes` is 1 + num_types.

    Attributes:
        names: of the objectives; the first is the default.
        types: event types whose probabilities the objectives ask for.
        worth: [num_objectives, num_rows or 1, num_outcomes + 1] float32, what each outcome of an interaction with an
            item is worth, and last what any interaction is; one row where that is the same for all items.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    worth: npt.NDArray[np.float32]

    @classmethod
    def of(cls, train: Sequences, catalogue: Catalogue) -> Objectives:
        """Those of a data set.

        Raises:
            ModelError: an event type that no event of the training split has, or a column that the items lack.
        """
        asked = (name for values in train.objectives.values() for name in values)
        types = tuple(dict.fromkeys(name for name in asked if name not in (LIKE, DISLIKE, NOVELTY)))
        known = train.event_vocabularies.get("event_type", ())
        for name in types:
            if name not in known:
                raise ModelError(f"objective: no event of the training split is of type {name!r}{near(name, known)}")
        by_item = any(_is_by_item(values) for values in train.objectives.values())
        worth = np.zeros((len(train.objectives), catalogue.num_rows if by_item else 1, len(types) + 2), np.float32)
        for at, values in zip(worth, train.objectives.values(), strict=True):
            for outcome, value in values.items():
                number = _column(catalogue, value) if isinstance(value, str) else np.float32(value)
                if outcome == NOVELTY:
                    at[:, -1] += number * _bits(catalogue)
                elif outcome == DISLIKE:  # As much for every interaction, and as much less for one that is liked.
                    at[:, -1] += number
                    at[:, 0] -= number
                else:
                    at[:, 0 if outcome == LIKE else 1 + types.index(outcome)] += number
        return cls(tuple(train.objectives), types, worth)

    def values(self, objective: int, rows: npt.NDArray[np.integer[Any]], outcomes: Floats) -> npt.NDArray[np.float64]:
        """What interactions are worth, or are expected to be.

        Args:
            objective: place in `names`.
            rows: [...] of the catalogue.
            outcomes: [..., num_outcomes] probabilities, or 0 and 1 for what happened.

        Returns:
            [...] float64.
        """
        worth = self.worth[objective][np.minimum(rows, self.worth.shape[1] - 1)].astype(np.float64)
        return (worth[..., :-1] * outcomes).sum(-1) + worth[..., -1]

    def happened(
        self, objective: int, sequences: Sequences, positions: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """[...] float64, what events that happened were worth."""
        return self.values(objective, sequences.item_index[positions], outcomes(sequences, positions, self.types))

    @property
    def is_plain(self) -> npt.NDArray[np.bool_]:
        """[num_objectives] whether every interaction is worth the same, so that only what comes next counts."""
        return (self.worth[..., :-1] == 0).all(axis=(1, 2)) & (np.ptp(self.worth[..., -1], axis=1) == 0)


def outcomes(sequences: Sequences, positions: npt.NDArray[np.int64], types: Sequence[str]) -> npt.NDArray[np.float32]:
    """[..., 1 + num_types] float32, 1 for the outcomes of events that happened: liked, then each of some types."""
    known = ("", "", *sequences.event_vocabularies.get("event_type", ()))
    found = [sequences.positive[positions]]
    found += [sequences.event_categorical["event_type"][positions] == known.index(name) for name in types]
    return np.stack(found, -1).astype(np.float32)


def _is_by_item(values: Values) -> bool:
    return NOVELTY in values or any(isinstance(value, str) for value in values.values())


def _bits(catalogue: Catalogue) -> npt.NDArray[np.float32]:
    """[num_rows] of surprise; row 0 stands for an item that is not in the catalogue, which nobody had."""
    bits = surprise(catalogue.train_counts).astype(np.float32)
    bits[0] = bits.max()
    return bits


def _column(catalogue: Catalogue, name: str) -> npt.NDArray[np.float32]:
    """[num_rows] numbers of a column of items; the mean where one is unknown."""
    if name not in catalogue.numeric:
        raise ModelError(f"objective: the items have no numbers in column {name!r}{near(name, catalogue.numeric)}")
    numbers = catalogue.numeric[name][:, 0]
    known = np.isfinite(numbers)
    known[0] = False  # Stands for no item.
    return np.where(known, numbers, numbers[known].mean() if known.any() else 0).astype(np.float32)
