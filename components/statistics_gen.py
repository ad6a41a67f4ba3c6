"""StatisticsGen: TFDV's statistics of every split of every table.

Counts, missing values, lengths, means and quantiles are exact or within TFDV's 1%. The most frequent strings and
the number of distinct ones come from TFDV's sketches, which is what keeps memory flat; where drift of ids is
judged, exact popularity is used instead.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import Examples, ExampleStatistics
from homefeed.schemas.settings import Count

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_SIZE = 1000  # Examples decoded at once; an Example of interactions holds a user's whole list.


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What goes in."""

    interactions: Examples
    items: Examples
    users: Examples


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What comes out."""

    interactions: ExampleStatistics
    items: ExampleStatistics
    users: ExampleStatistics


@dataclasses.dataclass(frozen=True)
class Config:
    """What can be set."""

    num_top_values: Count = 20  # Most frequent strings kept of each feature.
    num_histogram_buckets: Count = 20  # Of equal width, and of quantiles.


def describe(batches: Iterable[pa.RecordBatch], config: Config) -> Any:
    """Statistics of some Examples as a `DatasetFeatureStatisticsList`.

    Args:
        batches: as `homefeed.components.artifacts.example_io` decodes Examples: one row each, every column a list.
        config: how fine.
    """
    from homefeed.components.artifacts.quiet_tfdv import stats_impl, tfdv

    options = tfdv.StatsOptions(
        num_top_values=config.num_top_values,
        num_histogram_buckets=config.num_histogram_buckets,
        num_quantiles_histogram_buckets=config.num_histogram_buckets,
        use_sketch_based_topk_uniques=True,
    )
    generators = stats_impl.get_generators(options, in_memory=True)
    totals = [generator.create_accumulator() for generator in generators]
    for batch in batches:
        totals = [generator.add_input(total, batch) for generator, total in zip(generators, totals, strict=True)]
    return stats_impl.extract_statistics_output(totals, generators)


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Writes the statistics of every split."""
    num_splits = 0
    for table in (field.name for field in dataclasses.fields(Inputs)):
        examples: Examples = getattr(inputs, table)
        statistics: ExampleStatistics = getattr(outputs, table)
        for split in examples.splits:
            shards = (example_io.read_batches(file, BATCH_SIZE) for file in examples.split_files(split))
            described = describe(itertools.chain.from_iterable(shards), config)
            path = statistics.split_file(split)
            path.parent.mkdir(parents=True)
            path.write_bytes(described.SerializeToString(deterministic=True))
            num_splits += 1
    return f"{num_splits} splits"
