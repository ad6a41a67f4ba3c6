"""What breaks the schemas, by TFDV."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from homefeed.components.artifacts.quiet_tfdv import tfdv
from homefeed.components.artifacts.types import ExampleAnomalies, ExampleStatistics, Schema
from homefeed.schemas.columns import OF_EXPOSURES, TableName


def find_anomalies(
    statistics: statistics_pb2.DatasetFeatureStatisticsList, schema: schema_pb2.Schema, environment: str
) -> anomalies_pb2.Anomalies:
    """What breaks the schema. A split without a single Example breaks nothing, nor does a column without a value."""
    if not sum(dataset.num_examples for dataset in statistics.datasets):
        return anomalies_pb2.Anomalies(baseline=schema)
    return tfdv.validate_statistics(
        _judged(statistics, schema), schema, environment=environment if schema.default_environment else None
    )


def _judged(
    statistics: statistics_pb2.DatasetFeatureStatisticsList, schema: schema_pb2.Schema
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Without numbers that are all missing, and without what tells of pages where earlier data told of none."""
    left_out = {*OF_EXPOSURES} - {feature.name for feature in schema.feature}
    kept = statistics_pb2.DatasetFeatureStatisticsList.FromString(statistics.SerializeToString())
    for dataset in kept.datasets:
        features = [one for one in dataset.features if not _is_empty(one) and _name(one) not in left_out]
        del dataset.features[:]
        dataset.features.extend(features)
    return kept


def _name(feature: statistics_pb2.FeatureNameStatistics) -> str:
    return str(feature.path.step[-1])


def _is_empty(feature: statistics_pb2.FeatureNameStatistics) -> bool:
    """Whether a number is missing in every row: TFDV would judge zeros that nobody wrote."""
    numbers = feature.num_stats
    count = numbers.common_stats.tot_num_values
    return count > 0 and bool(numbers.histograms) and numbers.histograms[0].num_nan == count


def explain(anomalies: anomalies_pb2.Anomalies, table: str, split: str) -> dict[str, str]:
    """`table.feature` → what is wrong with it, for people."""
    found = {
        f"{table}.{name}": f"{table}/{split}: feature {name!r}: {info.short_description}: {info.description}"
        for name, info in sorted(anomalies.anomaly_info.items())
    }
    if anomalies.HasField("dataset_anomaly_info"):
        found[table] = f"{table}/{split}: {anomalies.dataset_anomaly_info.description}"
    if anomalies.data_missing:
        found[table] = f"{table}/{split}: there is no data"
    return found


def write_anomalies(
    statistics: Mapping[TableName, ExampleStatistics],
    schemas: Mapping[TableName, Schema],
    anomalies: ExampleAnomalies,
    environment: str,
    allowed: Collection[str],
) -> tuple[list[str], int]:
    """Writes the anomalies of every split of every table.

    Returns:
        what is wrong, and how much more is allowed to be.
    """
    reasons, num_allowed = [], 0
    for table, of_table in statistics.items():
        schema = tfdv.load_schema_text(str(schemas[table].file))
        for split in of_table.splits:
            found = find_anomalies(tfdv.load_stats_binary(str(of_table.split_file(split))), schema, environment)
            path = anomalies.split_file(f"{table}-{split}")
            path.parent.mkdir(parents=True)
            path.write_bytes(found.SerializeToString(deterministic=True))
            for name, reason in explain(found, table, split).items():
                if name in allowed:
                    num_allowed += 1
                else:
                    reasons.append(reason)
    return reasons, num_allowed
