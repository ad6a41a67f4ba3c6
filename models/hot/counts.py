"""Counts that fade with several half-lives, as of any time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_EXPONENT = 500.0  # Half-lives between the landmark and the newest event: a float64 has room for 1,023.

Rows = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]


class DecayedCounts:
    """Exponentially decayed counts, for training and serving alike.

    An event that was `a` seconds ago counts 0.5 ** (a / half_life). It is kept as 2 ** ((t - landmark) / half_life)
    (forward decay; Cormode et al., 2009): events may come in any order, each is one addition for each half-life, and
    nothing is touched as time passes. The landmark moves on before numbers become too large; what fades below the
    smallest float64 then is 0.

    Args:
        num_rows: of what is counted; `grow` gives more.
        half_lives: seconds.

    Attributes:
        half_lives: [num_half_lives] float64.
        sums: [num_half_lives, num_rows] float64, comparable among rows at any time: the decay is the same for all.
    """

    def __init__(self, num_rows: int, half_lives: Sequence[float]):
        self.half_lives = np.array(half_lives, np.float64)
        self.sums = np.zeros((len(half_lives), num_rows))
        self._landmarks: Floats | None = None

    def grow(self, num_rows: int) -> None:
        """Makes room for at least so many rows; counts stay."""
        missing = num_rows - self.sums.shape[1]
        if missing > 0:
            self.sums = np.pad(self.sums, ((0, 0), (0, max(missing, self.sums.shape[1] // 2))))

    def add(self, rows: Rows, at: npt.NDArray[Any]) -> None:
        """Counts events.

        Args:
            rows: [num_events] which rows; one may be there several times.
            at: [num_events] Unix seconds.
        """
        if not len(rows):
            return
        at = at.astype(np.float64)
        self._move_landmarks(float(at.max()))
        assert self._landmarks is not None
        for sums, half_life, landmark in zip(self.sums, self.half_lives, self._landmarks, strict=True):
            np.add.at(sums, rows, np.exp2((at - landmark) / half_life))

    def take(self, rows: Rows, other: DecayedCounts, from_rows: Rows) -> None:
        """Adds what another one counts, of the same half-lives, row by row."""
        if other._landmarks is None:
            return
        if self._landmarks is None:
            self._landmarks = other._landmarks.copy()
        self._move_landmarks(float(other._landmarks.max()))
        scale = np.exp2((other._landmarks - self._landmarks) / self.half_lives)
        for place, sums in enumerate(self.sums):
            np.add.at(sums, rows, other.sums[place, from_rows] * scale[place])

    def as_of(self, now: float, rows: Rows | slice = slice(None)) -> Floats:
        """[num_rows, num_half_lives] float64 counts as of a time, Unix seconds.

        All events that were added count: one after `now` counts more than 1, so that who asks as of the past adds
        no later events before.
        """
        if self._landmarks is None:
            return np.zeros_like(self.sums[:, rows].T)
        return self.sums[:, rows].T * np.exp2((self._landmarks - now) / self.half_lives)

    def _move_landmarks(self, newest: float) -> None:
        if self._landmarks is None:
            self._landmarks = np.full(len(self.half_lives), newest)
        for place, half_life in enumerate(self.half_lives):
            passed = (newest - self._landmarks[place]) / half_life
            if passed > MAX_EXPONENT:
                self.sums[place] *= np.exp2(-passed)
                self._landmarks[place] = newest
