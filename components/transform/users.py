"""The users table as arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homefeed.components.artifacts import example_io
from homefeed.components.transform.arrays import encode
from homefeed.schemas.columns import Feature


@dataclasses.dataclass(frozen=True)
class UserTable:
    """The users table as arrays, behind a row 0 for a user who is not in it.

    Arrays are as in Sequences, one row a user of the table; `rows` finds it by id.
    """

    rows: dict[bytes, int]
    categorical: dict[str, npt.NDArray[np.int32]]
    numeric: dict[str, npt.NDArray[np.float32]]

    def take(self, user_ids: npt.NDArray[np.object_]) -> UserTable:
        """The rows of these users, in this order."""
        index = np.array([self.rows.get(user_id, 0) for user_id in user_ids], np.int64)
        return dataclasses.replace(
            self,
            categorical={name: array[index] for name, array in self.categorical.items()},
            numeric={name: array[index] for name, array in self.numeric.items()},
        )


def build_users(
    users: pa.RecordBatch,
    features: Mapping[str, Feature],
    vocabularies: Mapping[str, tuple[str, ...]],
    numbers: Iterable[str],
    max_categories: int,
) -> UserTable:
    """The users table as arrays.

    Args:
        users: one row a user, as ExampleGen wrote it.
        features: the table's columns.
        vocabularies: of those with categories that training has.
        numbers: names of the others that it has; one that nobody here has is unknown.
        max_categories: as of `encode`.
    """
    read = {name: features[name] for name in (*vocabularies, *numbers)}
    encoded = encode(users, read, vocabularies, max_categories, min_count=1)
    unknown = {name: np.full((users.num_rows, features[name].size or 1), np.nan, np.float32) for name in numbers}
    whole = dataclasses.replace(encoded, numeric=unknown | encoded.numeric).behind_row_0()
    return UserTable(
        rows={user_id: row + 1 for row, user_id in enumerate(example_io.single(users, "user_id", b""))},
        categorical=whole.categorical,
        numeric=whole.numeric,
    )


def trained_on(users: pa.RecordBatch, trained: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """[num_users] whether each user of the table is one of those who have training events."""
    wanted = set(trained)
    return np.array([user_id in wanted for user_id in example_io.single(users, "user_id", b"")], bool)


def those(users: pa.RecordBatch, mask: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    """The users for whom the mask is True."""
    return users.filter(pa.array(mask))
