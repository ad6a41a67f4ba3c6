"""Columns of Examples, written by hand: one list a row."""

from typing import Any

import numpy as np
import numpy.typing as npt

Ragged = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]


def strings(*rows: list[str]) -> Ragged:
    """Flat values and row splits of texts."""
    flat = np.array([value.encode() for row in rows for value in row], object)
    return flat, np.cumsum([0, *map(len, rows)])


def numbers(dtype: type, *rows: list[float]) -> Ragged:
    """Flat values and row splits of numbers."""
    return np.array([value for row in rows for value in row], dtype), np.cumsum([0, *map(len, rows)])
