import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from homefeed.components import statistics_gen
from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.quiet_tfdv import tfdv
from tests.components.ragged import numbers
from tests.components.validated import describe, infer


def test_tfdv_reads_what_we_write(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    examples, statistics = describe(data, tmp_path / "out")
    (found,) = tfdv.load_stats_binary(str(statistics.interactions.split_file("train"))).datasets
    assert found.num_examples == 5  # Users.
    items = next(f for f in found.features if f.path.step[0] == "item_id")
    assert items.string_stats.common_stats.tot_num_values == 160
    assert items.string_stats.unique == 40
    # TFDV's own reading of our TFRecords says the same.
    (again,) = tfdv.generate_statistics_from_tfrecord(
        str(examples.interactions.split_dir("train") / "*.gz"),
        pipeline_options=None,
    ).datasets
    assert {f.path.step[0] for f in again.features} == {f.path.step[0] for f in found.features}
    schemas = infer(data, tmp_path / "out", statistics)
    schema = tfdv.load_schema_text(str(schemas.items.file))
    assert {feature.name for feature in schema.feature} == {"item_id", "title", "price", "size"}


def features(described: Any) -> dict[str, Any]:
    (dataset,) = described.datasets
    return {feature.path.step[0]: feature for feature in dataset.features}


def test_counts_means_and_frequent_values_by_hand() -> None:
    kinds = pa.array([[b"a"], [b"b", b"a"], None, [b"a", b"c"]])
    batch = pa.RecordBatch.from_arrays([kinds, pa.array([[1.0], [2.0, 3.0], None, [6.0]])], ["kind", "price"])
    found = features(statistics_gen.describe([batch], statistics_gen.Config(num_top_values=2)))
    kind, price = found["kind"].string_stats, found["price"].num_stats
    assert (kind.common_stats.num_non_missing, kind.common_stats.num_missing, kind.unique) == (3, 1, 3)
    top = [(value.value, value.frequency) for value in kind.top_values]
    assert top[0] == ("a", 3) and len(top) == 2
    assert (price.mean, price.min, price.max) == (3, 1, 6)
    assert price.std_dev == pytest.approx(np.std([1, 2, 3, 6]))


def test_batches_of_any_size_give_the_same(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    rows = [[float(value)] for value in rng.normal(size=500)]
    whole = example_io.record_batch({"price": numbers(np.float32, *rows)})
    parts = [whole.slice(start, 7) for start in range(0, 500, 7)]
    config = statistics_gen.Config(num_histogram_buckets=5)
    one, many = (features(statistics_gen.describe(batches, config))["price"] for batches in ([whole], parts))
    assert many.num_stats.mean == pytest.approx(one.num_stats.mean)
    for described in (one, many):
        (quantiles,) = [h for h in described.num_stats.histograms if h.type == h.QUANTILES]
        edges = np.quantile(np.concatenate(rows), np.linspace(0, 1, 6))
        found = [quantiles.buckets[0].low_value, *(bucket.high_value for bucket in quantiles.buckets)]
        assert found == pytest.approx(edges.tolist(), abs=0.1)


def test_no_examples_are_a_statistic_too() -> None:
    (dataset,) = statistics_gen.describe([], statistics_gen.Config()).datasets
    assert dataset.num_examples == 0
