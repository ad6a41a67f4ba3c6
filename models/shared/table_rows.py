"""Copies weights of an earlier model: rows of tables by what they stand for, other weights where shapes agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

RESERVED = ("\0padding", "\0unknown")  # The first two positions of every vocabulary.


def copy_rows(
    variable: Any, earlier: npt.NDArray[Any], names: tuple[Sequence[str], Sequence[str]] | None = None
) -> int:
    """Writes what fits of an earlier weight into a variable; the rest keeps its fresh values.

    Args:
        variable: of TensorFlow or Keras.
        earlier: the weight.
        names: what the rows of `earlier` and of `variable` stand for; None: not a table, so that all of it is copied
            or nothing.

    Returns:
        How many rows were copied; 1 for a number.
    """
    shape = tuple(variable.shape)
    if names is None:
        if shape != earlier.shape:
            return 0
        variable.assign(earlier)
        return int(earlier.shape[0]) if earlier.ndim else 1
    if shape[1:] != earlier.shape[1:]:
        return 0
    places: Mapping[str, int] = {name: row for row, name in enumerate(names[0][: len(earlier)])}
    value = np.array(variable)
    pairs = [(row, places[name]) for row, name in enumerate(names[1][: len(value)]) if name in places]
    to, source = np.array(pairs, np.int64).reshape(-1, 2).T
    value[to] = earlier[source]
    variable.assign(value)
    return len(pairs)
