"""Tables of users' doings that ExampleGen cut alike: a shard of each is of the same users."""

from __future__ import annotations

import dataclasses
import functools
import pathlib

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import Examples


@dataclasses.dataclass(frozen=True)
class UserShards:
    """Which files of some tables are of the same users.

    Attributes:
        tables: written by ExampleGen, or of its shards by Transform.
    """

    tables: tuple[Examples, ...]

    @functools.cached_property
    def num_shards(self) -> int:
        """How many there are; 1 where tables were cut differently, so that all of them is read as one."""
        files = [table.split_files(split) for table in self.tables for split in table.splits]
        numbers = {len(found) for found in files if next(example_io.read_shards(found), None) is not None}
        return numbers.pop() if len(numbers) == 1 else 1

    def files(self, table: Examples, split: str, shard: int) -> list[pathlib.Path]:
        """What a shard holds of a split of one of the tables."""
        files = table.split_files(split)
        if self.num_shards == 1:
            return files
        # By name: a folder of many machines may list too few. A table of nothing has one file.
        return [] if len(files) == 1 else [example_io.shard_file(table, split, shard, self.num_shards)]
