"""Statistics of rows, as StatisticsGen makes them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from homefeed.components.statistics_gen.accumulators import Accumulators


def describe_rows(*batches: pa.RecordBatch, **chosen: int) -> Any:
    """A DatasetFeatureStatisticsList of batches that lie in one shard."""
    accumulators = Accumulators(**chosen)
    return accumulators.describe([accumulators.count(batches)])
