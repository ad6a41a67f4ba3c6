"""Tables of users' doings that ExampleGen cut alike: a shard of each is of the same users."""

from __future__ import annotations

import dataclasses
import pathlib

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import Examples


@dataclasses.dataclass(frozen=True)
class UserShards:
    """Which files of some tables are of the same users; found once, as a worker's folder may list too few.

    Attributes:
        num_shards: how many there are; 1 where tables were cut differently, so that all of them is read as one.
        without: folders of splits that hold nothing, and so were not cut.
    """

    num_shards: int
    without: frozenset[pathlib.Path]

    @classmethod
    def of(cls, *splits: tuple[Examples, str]) -> UserShards:
        """Looks at the splits that are to be read: tables written by ExampleGen, or by Transform of their shards."""
        files = {table.split_dir(split): table.split_files(split) for table, split in splits}
        numbers = {len(found) for found in files.values() if next(example_io.read_shards(found), None) is not None}
        num_shards = numbers.pop() if len(numbers) == 1 else 1
        return cls(num_shards, frozenset(folder for folder, found in files.items() if len(found) != num_shards))

    def files(self, table: Examples, split: str, shard: int) -> list[pathlib.Path]:
        """What a shard holds of a split of one of the tables."""
        if self.num_shards == 1:
            return table.split_files(split)
        without = table.split_dir(split) in self.without
        return [] if without else [example_io.shard_file(table, split, shard, self.num_shards)]
