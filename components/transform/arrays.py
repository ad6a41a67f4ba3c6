"""Columns of Examples as arrays of one width: positions in vocabularies, and numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.coded import Coded
from homefeed.schemas.columns import Feature

PAD, OOV, NUM_RESERVED = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Encoded:
    """The features of a table that models read, one row each.

    Attributes:
        categorical: name → [num_rows, width] int32 vocabulary positions, behind PAD and OOV.
        numeric: name → [num_rows, size] float32; NaN where it is unknown.
        vocabularies: name → values of a categorical feature.
    """

    categorical: dict[str, npt.NDArray[np.int32]]
    numeric: dict[str, npt.NDArray[np.float32]]
    vocabularies: dict[str, tuple[str, ...]]

    def behind_row_0(self) -> Encoded:
        """The same behind a row 0 that knows nothing."""
        return dataclasses.replace(
            self,
            categorical={name: with_row_0(array, PAD) for name, array in self.categorical.items()},
            numeric={name: with_row_0(array, np.nan) for name, array in self.numeric.items()},
        )


def encode(
    batch: pa.RecordBatch,
    features: Mapping[str, Feature],
    vocabularies: Mapping[str, tuple[str, ...]],
    max_categories: int,
    min_count: int,
) -> Encoded:
    """Categories as vocabulary positions and numbers as they are.

    Args:
        batch: one row each, every column a list.
        features: the table's columns.
        vocabularies: of features that are not to be learnt anew.
        max_categories: values kept of a feature that has several.
        min_count: a category seen less often gets no place in a vocabulary that is learnt.
    """
    categorical, learnt = {}, {}
    for name, feature in of_kinds(features, "category", "categories").items():
        found = example_io.ragged(batch, name)
        if found is None and name not in vocabularies:
            continue
        names, row_splits = found or (np.empty(0, object), np.zeros(batch.num_rows + 1, np.int64))
        strings = Coded.of(names)
        # A given vocabulary may be empty: then every value is out of it.
        learnt[name] = vocabularies[name] if name in vocabularies else vocabulary(strings.counts(), min_count)
        width = 1 if feature.kind == "category" else max_categories
        categorical[name] = pad(look_up(strings, learnt[name]), row_splits, width)
    numeric = {}
    for name, feature in of_kinds(features, "number", "embedding").items():
        found = example_io.ragged(batch, name)
        if found is not None:
            values, row_splits = found
            numeric[name] = pad_numbers(values.astype(np.float32), row_splits, feature.size or 1)
    return Encoded(categorical, numeric, learnt)


def of_kinds(features: Mapping[str, Feature], *kinds: str) -> dict[str, Feature]:
    """The features of some kinds, by name."""
    return {name: feature for name, feature in sorted(features.items()) if feature.kind in kinds}


def vocabulary(counts: Mapping[bytes, int], min_count: int = 1) -> tuple[str, ...]:
    """The values that are there often enough, most frequent first, ties by name."""
    ranked = sorted((value for value, n in counts.items() if value and n >= min_count), key=lambda v: (-counts[v], v))
    return tuple(value.decode() for value in ranked)


def look_up(values: Coded, vocabulary: tuple[str, ...]) -> npt.NDArray[np.int32]:
    """Positions in the vocabulary, behind PAD (no value) and OOV (one that it lacks)."""
    index = {value.encode(): position + NUM_RESERVED for position, value in enumerate(vocabulary)}
    return values.find({b"": PAD} | index, OOV)


def pad(values: npt.NDArray[np.int32], row_splits: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.int32]:
    """[num_rows, width] the first values of each row, and PAD behind them."""
    padded = np.full((len(row_splits) - 1, width), PAD, np.int32)
    row, column = _places(row_splits)
    kept = column < width
    padded[row[kept], column[kept]] = values[kept]
    return padded


def pad_numbers(
    values: npt.NDArray[np.float32], row_splits: npt.NDArray[np.int64], size: int
) -> npt.NDArray[np.float32]:
    """[num_rows, size]; a row of another length than `size` is unknown: a half embedding is none."""
    padded = np.full((len(row_splits) - 1, size), np.nan, np.float32)
    row, column = _places(row_splits)
    whole = np.diff(row_splits)[row] == size
    padded[row[whole], column[whole]] = values[whole]
    return padded


def _places(row_splits: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    lengths = np.diff(row_splits)
    row = np.repeat(np.arange(len(lengths)), lengths)
    return row, np.arange(len(row)) - row_splits[:-1][row]


def with_row_0(array: npt.NDArray[Any], fill: Any) -> npt.NDArray[Any]:
    """The array behind one more row, which is all `fill`."""
    first = np.full((1, *array.shape[1:]), fill, array.dtype)
    return np.concatenate([first, array])
