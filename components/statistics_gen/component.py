"""StatisticsGen: TFDV's statistics of every split of every table."""

from __future__ import annotations

import dataclasses
import pathlib

from homefeed.components.artifacts.types import Examples, ExampleStatistics
from homefeed.components.beam.settings import BeamSettings
from homefeed.schemas.settings import Count


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
class Config(BeamSettings):
    """What can be set."""

    num_top_values: Count = 20  # Most frequent strings kept of each feature.
    num_histogram_buckets: Count = 20  # Of equal width, and of quantiles.


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Writes the statistics of every split."""
    from homefeed.components.statistics_gen import accumulators, beam

    files: dict[pathlib.Path, list[pathlib.Path]] = {}
    for table in (field.name for field in dataclasses.fields(Inputs)):
        examples: Examples = getattr(inputs, table)
        statistics: ExampleStatistics = getattr(outputs, table)
        files |= {statistics.split_file(split): examples.split_files(split) for split in examples.splits}
    of_tfdv = accumulators.Accumulators(config.num_top_values, config.num_histogram_buckets)
    beam.describe_each(files, of_tfdv, config.runner, config.beam_options)
    return f"{len(files)} splits"
