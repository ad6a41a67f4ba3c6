"""ExampleValidator: a gate that stops the run where the data breaks its schema, or has drifted."""

from __future__ import annotations

import dataclasses
from typing import Any

from components.artifacts import DatasetDir, ExampleAnomalies, ExampleStatistics, Schema
from schemas.dataset import TABLES

DRIFT_FILE, DRIFT_PAGE = "drift.json", "drift.html"


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What goes in."""

    dataset: DatasetDir
    interactions_statistics: ExampleStatistics
    items_statistics: ExampleStatistics
    users_statistics: ExampleStatistics
    interactions_schema: Schema
    items_schema: Schema
    users_schema: Schema


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What comes out."""

    anomalies: ExampleAnomalies  # `Split-<table>-<split>`.


@dataclasses.dataclass(frozen=True)
class Config:
    """What can be set."""

    environment: str = "TRAINING"  # Of the schema: TRAINING or SERVING.
    allowed: tuple[str, ...] = ()  # `table.feature` whose anomalies are reported but do not stop the run.
    baseline: str = ""  # Data folder of an earlier span to compare this one with; empty: no drift is judged.
    drift_schema: str = ""  # Folder of `<table>.pbtxt` whose drift comparators set thresholds.


def find_anomalies(statistics: Any, schema: Any, environment: str) -> Any:
    """What breaks the schema: a `DatasetFeatureStatisticsList` and a TFMD `Schema` in, `Anomalies` out.

    A split without a single Example breaks nothing.
    """
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    from components.quiet_tfdv import tfdv

    if not sum(dataset.num_examples for dataset in statistics.datasets):
        return anomalies_pb2.Anomalies(baseline=schema)
    return tfdv.validate_statistics(
        statistics, schema, environment=environment if schema.default_environment else None
    )


def explain(anomalies: Any, table: str, split: str) -> dict[str, str]:
    """`table.feature` → what is wrong with it, for people."""
    found = {
        f"{table}.{name}": f"{table}/{split}: feature {name!r}: {info.short_description}: {info.description}"
        for name, info in sorted(anomalies.anomaly_info.items())
    }
    for kind in ("dataset_anomaly_info", "data_missing"):
        if kind == "data_missing" and anomalies.data_missing:
            found[table] = f"{table}/{split}: there is no data"
        elif kind == "dataset_anomaly_info" and anomalies.HasField(kind):
            found[table] = f"{table}/{split}: {anomalies.dataset_anomaly_info.description}"
    return found


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Writes the anomalies of every split, and the verdict."""
    from components import drift
    from components.quiet_tfdv import tfdv

    reasons, num_allowed = [], 0
    for table in TABLES:
        statistics: ExampleStatistics = getattr(inputs, f"{table}_statistics")
        schema = tfdv.load_schema_text(str(getattr(inputs, f"{table}_schema").file))
        for split in statistics.splits:
            described = tfdv.load_stats_binary(str(statistics.split_file(split)))
            anomalies = find_anomalies(described, schema, config.environment)
            path = outputs.anomalies.split_file(f"{table}-{split}")
            path.parent.mkdir(parents=True)
            path.write_bytes(anomalies.SerializeToString(deterministic=True))
            for name, reason in explain(anomalies, table, split).items():
                if name in config.allowed:
                    num_allowed += 1
                else:
                    reasons.append(reason)
    line = f"{len(reasons)} anomalies" + (f", {num_allowed} allowed" if num_allowed else "")
    if config.baseline:
        report = drift.run_drift(config.baseline, inputs.dataset.path, config.drift_schema or None)
        outputs.anomalies.write_json(DRIFT_FILE, report.to_json())
        report.write(html_path=outputs.anomalies.path / DRIFT_PAGE)
        reasons += report.reasons()
        line += f", {len(report.drifted)} of {len(report.findings)} distances over their limits"
    outputs.anomalies.write_reasons(reasons)
    return line
