"""Strings as numbers: what a column of millions of events is held as, instead of an object for each."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class Coded:
    """A column of strings, each of which is held once.

    Attributes:
        codes: [num_rows] int32 positions in `values`.
        values: [num_values] object (bytes), all different, in any order; some may be in no row.
    """

    codes: npt.NDArray[np.int32]
    values: npt.NDArray[np.object_]

    @classmethod
    def of(cls, strings: Iterable[bytes] | npt.NDArray[Any]) -> Coded:
        """The column of these strings."""
        import pyarrow as pa

        return cls.join([pa.array(strings, pa.large_binary())])

    @classmethod
    def all_same(cls, value: bytes, size: int) -> Coded:
        """A column of one value."""
        return cls(np.zeros(size, np.int32), np.array([value], object))

    @classmethod
    def join(cls, parts: Collection[Any]) -> Coded:
        """The column of all parts, which are Arrow's arrays of bytes without nulls, or dictionaries of such."""
        import pyarrow as pa

        encoded = [part if pa.types.is_dictionary(part.type) else part.dictionary_encode() for part in parts]
        if not encoded:
            return cls(np.empty(0, np.int32), np.empty(0, object))
        chunks = pa.chunked_array(encoded).unify_dictionaries().chunks
        codes = np.concatenate([chunk.indices.to_numpy() for chunk in chunks]).astype(np.int32, copy=False)
        return cls(codes, chunks[0].dictionary.to_numpy(zero_copy_only=False))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, which: npt.NDArray[Any] | slice) -> Coded:
        """Some rows, by a mask or by places."""
        return Coded(self.codes[which], self.values)

    def tolist(self) -> list[bytes]:
        """The strings themselves."""
        strings: list[bytes] = self.values[self.codes].tolist()
        return strings

    def counts(self) -> Counter[bytes]:
        """How many rows have each value; a value without one is left out."""
        counted = np.bincount(self.codes, minlength=len(self.values))
        present = np.flatnonzero(counted)
        return Counter(dict(zip(self.values[present].tolist(), counted[present].tolist(), strict=True)))

    def find(self, numbers: Mapping[bytes, int], default: int, dtype: Any = np.int32) -> npt.NDArray[Any]:
        """[num_rows] the number of each row's value, `default` of one that has none."""
        of_values = np.array([numbers.get(value, default) for value in self.values.tolist()], dtype)
        found: npt.NDArray[Any] = of_values[self.codes]
        return found

    def is_in(self, values: Collection[bytes]) -> npt.NDArray[np.bool_]:
        """[num_rows] whether each row's value is one of these."""
        return self.find(dict.fromkeys(values, 1), 0, np.bool_)
