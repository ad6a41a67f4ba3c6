import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.statistics_gen.accumulators import Accumulators
from tests.components.described import describe_rows
from tests.components.ragged import numbers

KINDS = pa.array([[b"a"], [b"b", b"a"], None, [b"a", b"c"]])
ROWS = pa.RecordBatch.from_arrays([KINDS, pa.array([[1.0], [2.0, 3.0], None, [6.0]])], ["kind", "price"])


def features(described: Any) -> dict[str, Any]:
    (dataset,) = described.datasets
    return {feature.path.step[0]: feature for feature in dataset.features}


def test_counts_means_and_frequent_values_by_hand() -> None:
    accumulators = Accumulators(num_top_values=2)
    one = accumulators.describe([accumulators.count([ROWS])])
    totals = [accumulators.count([ROWS.slice(start, 2)]) for start in (0, 2)]
    two = accumulators.describe(pickle.loads(pickle.dumps(totals)))
    for found in map(features, (one, two)):
        kind, price = found["kind"].string_stats, found["price"].num_stats
        assert (kind.common_stats.num_non_missing, kind.common_stats.num_missing, kind.unique) == (3, 1, 3)
        top = [(value.value, value.frequency) for value in kind.top_values]
        assert top[0] == ("a", 3) and len(top) == 2
        assert (price.mean, price.min, price.max) == (3, 1, 6)
        assert price.std_dev == pytest.approx(np.std([1, 2, 3, 6]))


def test_batches_of_any_size_give_the_same() -> None:
    rng = np.random.default_rng(0)
    rows = [[float(value)] for value in rng.normal(size=500)]
    whole = example_io.record_batch({"price": numbers(np.float32, *rows)})
    parts = [whole.slice(start, 7) for start in range(0, 500, 7)]
    one, many = (features(describe_rows(*batches, num_histogram_buckets=5))["price"] for batches in ([whole], parts))
    assert many.num_stats.mean == pytest.approx(one.num_stats.mean)
    for described in (one, many):
        (quantiles,) = [h for h in described.num_stats.histograms if h.type == h.QUANTILES]
        edges = np.quantile(np.concatenate(rows), np.linspace(0, 1, 6))
        found = [quantiles.buckets[0].low_value, *(bucket.high_value for bucket in quantiles.buckets)]
        assert found == pytest.approx(edges.tolist(), abs=0.1)


def test_no_examples_are_a_statistic_too() -> None:
    (dataset,) = describe_rows().datasets
    assert dataset.num_examples == 0
