import pathlib

import numpy as np
import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from homefeed.components.drift.compare import run_drift
from homefeed.components.drift.sources.statistics import BUCKET_POINTS, from_statistics
from homefeed.components.drift.summary import bin_values
from homefeed.schemas.dataset import DatasetError


def test_statistics_of_tfdv(tmp_path: pathlib.Path) -> None:
    import pandas as pd
    import tensorflow_data_validation as tfdv

    def statistics(name: str, rows: pd.DataFrame) -> pathlib.Path:
        path = tmp_path / name / "FeatureStats.pb"
        path.parent.mkdir()
        path.write_bytes(tfdv.generate_statistics_from_dataframe(rows).SerializeToString())
        return path.parent

    rng = np.random.default_rng(0)
    table = pd.DataFrame({"kind": rng.choice(["a", "b"], 5000), "price": rng.normal(size=5000)})
    same = pd.DataFrame({"kind": rng.choice(["a", "b"], 5000), "price": rng.normal(size=5000)})
    moved = same.assign(price=same.price + 0.5)
    before = statistics("before", table)
    assert not run_drift(before, statistics("same", same)).drifted
    drifted = run_drift(before, statistics("moved", moved)).drifted
    assert [found.feature for found in drifted] == ["statistics.price"]
    many = pd.DataFrame({"kind": [f"id{n}" for n in range(5000)], "price": 1.0})
    with pytest.raises(DatasetError, match=r"most frequent values of statistics.kind \(1,000 of"):
        run_drift(before, statistics("many", many))


def test_strings_numbers_and_missing_values_by_hand(tmp_path: pathlib.Path) -> None:
    written = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = written.datasets.add(num_examples=10)
    kind = dataset.features.add(path={"step": ["kind"]}, type=statistics_pb2.FeatureNameStatistics.STRING)
    kind.string_stats.unique = 2
    kind.string_stats.common_stats.num_non_missing, kind.string_stats.common_stats.num_missing = 8, 2
    for label, count in (("a", 6), ("b", 2)):
        kind.string_stats.rank_histogram.buckets.add(label=label, sample_count=count)
    price = dataset.features.add(path={"step": ["price"]}, type=statistics_pb2.FeatureNameStatistics.FLOAT)
    price.num_stats.mean, price.num_stats.std_dev = 2.0, 1.0
    price.num_stats.common_stats.num_non_missing = price.num_stats.common_stats.tot_num_values = 10
    quantiles = price.num_stats.histograms.add(type=statistics_pb2.Histogram.QUANTILES)
    quantiles.buckets.add(low_value=0, high_value=2, sample_count=5)
    quantiles.buckets.add(low_value=2, high_value=4, sample_count=5)
    time = dataset.features.add(path={"step": ["timestamp"]}, type=statistics_pb2.FeatureNameStatistics.INT)
    time.num_stats.mean = 1
    file = tmp_path / "FeatureStats.pb"
    file.write_bytes(written.SerializeToString())

    found = from_statistics(file)
    assert found.name == str(file) and found.num_rows == {"statistics": 10}
    assert found.columns.keys() == {"statistics.kind", "statistics.price"}
    strings, numbers = found.columns["statistics.kind"], found.columns["statistics.price"]
    assert strings.values == {"a": 6, "b": 2} and strings.grouped["a"].sum() == 6
    assert (strings.rows.sum(), strings.missing.sum()) == (10, 2)
    assert numbers.num_values == pytest.approx(10) and numbers.coarseness == 0.5  # Two buckets.
    places = bin_values(np.array(sorted(numbers.values)))
    assert len(places) <= 2 * BUCKET_POINTS and places[0] == pytest.approx(0, abs=1e-3) and places[-1] < 4.01
    assert numbers.sums[:, 0].tolist() == [10, 20, 10 * (1 + 4)]  # The mean of squares is 1² + 2².
