"""TFDV's statistics of one split."""

from __future__ import annotations

import collections
import pathlib

import numpy as np
import numpy.typing as npt
from tensorflow_metadata.proto.v0 import statistics_pb2

from homefeed.components.artifacts.quiet_tfdv import tfdv
from homefeed.components.drift.summary import NUM_GROUPS, Column, Summary, bins
from homefeed.schemas.dataset import DatasetError

BUCKET_POINTS = 100


def from_statistics(file: pathlib.Path) -> Summary:
    """What TFDV's statistics of a table know. Numbers are as coarse as their quantiles.

    Raises:
        DatasetError: a string feature has more values than were kept: its distance would be wrong both ways.
    """
    (statistics,) = tfdv.load_stats_binary(str(file)).datasets
    summary = Summary(str(file), {}, collections.Counter(), {"statistics": statistics.num_examples})
    cut = []
    for feature in statistics.features:
        name = f"statistics.{feature.path.step[0]}"
        if feature.HasField("string_stats"):
            column, common = _strings(feature.string_stats), feature.string_stats.common_stats
            if len(column.values) < feature.string_stats.unique:
                cut.append(f"{name} ({len(column.values):,} of {feature.string_stats.unique:,} values)")
        elif name.endswith(".timestamp"):
            continue
        else:
            column, common = _numbers(feature.num_stats), feature.num_stats.common_stats
        column.rows = _in_one_group(common.num_non_missing + common.num_missing)
        column.missing = _in_one_group(common.num_missing)
        summary.columns[name] = column
    if cut:
        raise DatasetError(
            f"{file} keeps only the most frequent values of {', '.join(cut)}; their drift cannot be judged from "
            "it. Compare the data folders, or make statistics with more `num_rank_histogram_buckets`."
        )
    return summary


def _strings(statistics: statistics_pb2.StringStatistics) -> Column:
    column = Column.empty("category")
    counts = {bucket.label: int(bucket.sample_count) for bucket in statistics.rank_histogram.buckets}
    column.grouped = {value: _in_one_group(count) for value, count in counts.items()}
    column.values.update(counts)
    return column


def _numbers(statistics: statistics_pb2.NumericStatistics) -> Column:
    column = Column.empty("number")
    (quantiles,) = [h for h in statistics.histograms if h.type == h.QUANTILES]
    for bucket in quantiles.buckets:
        # As if a bucket's values were spread evenly.
        places = bins(np.linspace(bucket.low_value, bucket.high_value, BUCKET_POINTS)).tolist()
        column.values.update(dict.fromkeys(places, 0))
        for place in places:
            column.values[place] += bucket.sample_count / BUCKET_POINTS
    column.coarseness = 1 / len(quantiles.buckets)
    count, mean = statistics.common_stats.tot_num_values, statistics.mean
    column.sums[:, 0] = count, count * mean, count * (statistics.std_dev**2 + mean**2)
    return column


def _in_one_group(count: int) -> npt.NDArray[np.int64]:
    return np.bincount([0], [count], NUM_GROUPS).astype(np.int64)
