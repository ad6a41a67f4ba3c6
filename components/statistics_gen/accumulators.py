"""What TFDV counts of Examples: a shard at a time, and then all of them together.

Counts, missing values, lengths, means and quantiles are exact or within TFDV's 1%. The most frequent strings and
the number of distinct ones come from TFDV's sketches, which is what keeps memory flat; where drift of ids is
judged, exact popularity is used instead.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from homefeed.components.artifacts.quiet_tfdv import stats_impl, tfdv

Totals = list[Any]
"""An accumulator of each of TFDV's generators; can be pickled."""


@dataclasses.dataclass(frozen=True)
class Accumulators:
    """TFDV's generators of statistics, and what is done with them.

    Attributes:
        num_top_values: most frequent strings kept of each feature.
        num_histogram_buckets: of equal width, and of quantiles.
    """

    num_top_values: int = 20
    num_histogram_buckets: int = 20

    def _generators(self) -> list[Any]:
        options = tfdv.StatsOptions(
            num_top_values=self.num_top_values,
            num_histogram_buckets=self.num_histogram_buckets,
            num_quantiles_histogram_buckets=self.num_histogram_buckets,
            use_sketch_based_topk_uniques=True,
        )
        found: list[Any] = stats_impl.get_generators(options, in_memory=True)
        return found

    def count(self, batches: Iterable[pa.RecordBatch]) -> Totals:
        """Takes in Examples, as `homefeed.components.artifacts.example_io` decodes them: every column a list."""
        generators = self._generators()
        totals = [generator.create_accumulator() for generator in generators]
        for batch in batches:
            totals = [generator.add_input(total, batch) for generator, total in zip(generators, totals, strict=True)]
        return totals

    def describe(self, shards: Iterable[Totals]) -> Any:
        """What was counted of each shard → a `DatasetFeatureStatisticsList` of all; their order is seen in it."""
        generators = self._generators()
        each = zip(generators, zip(*shards, strict=True), strict=True)
        return stats_impl.extract_statistics_output(
            [one.merge_accumulators(list(of)) for one, of in each], generators
        )
