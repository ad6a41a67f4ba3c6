"""Tables of which a request reads some rows: in half precision they take half the disk and half the memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf


def halved(table: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """The table as float16, which keeps three digits of a number; as it is, if a number is too large for that."""
    with np.errstate(over="ignore"):
        half = table.astype(np.float16)
    return half if np.isfinite(half).all() else table


def rows_of(table: tf.Tensor | tf.Variable, rows: tf.Tensor) -> tf.Tensor:
    """[num_rows, ...] of either precision, [...] int32 rows → those rows, float32."""
    return tf.cast(tf.gather(table, rows), tf.float32)
