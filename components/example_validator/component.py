"""ExampleValidator: a gate that stops the run where the data breaks its schema, or has drifted.

Drift is judged where there is something to compare with: the newest span with those just before it, or the data with
a baseline that the configuration names. Splits are compared with each other only when asked (`split_skew`): those of
a temporal split lie one after the other in time, and those of leave-one-out hold one event a user, so that they
differ by design.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from homefeed.components.artifacts.types import (
    Artifact,
    Baseline,
    DatasetDir,
    ExampleAnomalies,
    Examples,
    ExampleStatistics,
    Quarantine,
    Schema,
)
from homefeed.components.example_gen.component import COUNTS_FILE
from homefeed.schemas.dataset import FILE_NAME, TABLES, load_dataset

if TYPE_CHECKING:
    from homefeed.components.drift.compare import DriftReport

DRIFT_FILE, DRIFT_PAGE, DATASET_PAGE = "drift.json", "drift.html", "dataset.html"


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What goes in."""

    dataset: DatasetDir
    quarantine: Quarantine
    interactions: Examples
    interactions_statistics: ExampleStatistics
    items_statistics: ExampleStatistics
    users_statistics: ExampleStatistics
    interactions_schema: Schema
    items_schema: Schema
    users_schema: Schema


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What comes out."""

    anomalies: ExampleAnomalies  # `Split-<table>-<split>`; `dataset.html`; and `drift.json`, `drift.html`.


@dataclasses.dataclass(frozen=True)
class Config:
    """What can be set."""

    environment: str = "TRAINING"  # Of the schema: TRAINING or SERVING.
    allowed: tuple[str, ...] = ()  # `table.feature` whose anomalies and drift are reported but do not stop the run.
    baseline: str = ""  # What to compare with (as in `homefeed drift`); empty: the spans before the newest one.
    baseline_spans: int = 7  # How many spans that is at most: a week holds every weekday. 0: none.
    split_skew: bool = False  # Whether eval and test must look like train.


def config_inputs(config: Config) -> dict[str, Artifact]:
    """What the configuration names outside the pipeline: its content counts in cache and lineage."""
    from homefeed.components.drift.sources import split_spans

    if not config.baseline:
        return {}
    path, _ = split_spans(config.baseline)
    return {"baseline": DatasetDir(path) if (path / FILE_NAME).is_file() else Baseline(path)}


def find_anomalies(statistics: Any, schema: Any, environment: str) -> Any:
    """What breaks the schema: a `DatasetFeatureStatisticsList` and a TFMD `Schema` in, `Anomalies` out.

    A split without a single Example breaks nothing.
    """
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    from homefeed.components.artifacts.quiet_tfdv import tfdv

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


def spans_before(all_spans: Sequence[str], newest: str, limit: int) -> list[str]:
    """At most `limit` spans just before one.

    >>> spans_before(["1", "2", "3", "4"], "3", 7)
    ['1', '2']
    """
    before = list(all_spans[: all_spans.index(newest)])
    return before[-limit:] if limit else []


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Writes the anomalies of every split, the distances to the baseline, a page of the data, and the verdict.

    Raises:
        DatasetError: a drift comparator of a schema cannot be evaluated.
    """
    from homefeed.components.drift import compare as drift
    from homefeed.components.drift import sources as _drift_inputs
    from homefeed.components.example_validator import dataset_page

    reasons, num_allowed = _write_anomalies(inputs, outputs, config)
    counts = inputs.quarantine.read_json(COUNTS_FILE)
    lines = [f"{len(reasons)} anomalies" + (f", {num_allowed} allowed" if num_allowed else "")]
    reports = _judge_drift(inputs, config, counts["interactions"]["spans"])
    for title, report in reports.items():
        name = "" if title == "drift" else f"-{title}"
        outputs.anomalies.write_json(DRIFT_FILE.replace(".", f"{name}."), report.to_json())
        report.write(html_path=outputs.anomalies.path / DRIFT_PAGE.replace(".", f"{name}."))
        # A split by hash keeps users apart, so that those of another split are new by design.
        reasons += report.reasons(config.allowed if title == "drift" else (*config.allowed, drift.USER_ID))
        lines.append(f"{title}: {len(report.drifted)} of {len(report.findings)} distances over their limits")
    if "drift" not in reports:
        lines.append("drift not judged: no earlier span, no baseline")
    read = ",".join(counts["interactions"]["spans"])
    page = dataset_page.page(_drift_inputs.summarize(inputs.dataset.path, read), counts, reasons)
    (outputs.anomalies.path / DATASET_PAGE).write_text(page, encoding="utf-8")
    outputs.anomalies.write_reasons(reasons)
    return "; ".join(lines)


def _write_anomalies(inputs: Inputs, outputs: Outputs, config: Config) -> tuple[list[str], int]:
    """Returns what is wrong, and how much more is allowed to be."""
    from homefeed.components.artifacts.quiet_tfdv import tfdv

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
    return reasons, num_allowed


def _judge_drift(inputs: Inputs, config: Config, read_spans: list[str]) -> dict[str, DriftReport]:
    """The comparisons that there is something for: `drift`, and one for each split."""
    from homefeed.components.example_gen import beam as _ingest

    found: dict[str, tuple[str, str]] = {}
    data = inputs.dataset.path
    if config.baseline:
        found["drift"] = (config.baseline, f"{data}@{','.join(read_spans)}" if read_spans else str(data))
    elif read_spans:
        known = _ingest.list_spans(data, load_dataset(data), "interactions")
        if before := spans_before(known, read_spans[-1], config.baseline_spans):
            found["drift"] = (f"{data}@{','.join(before)}", f"{data}@{read_spans[-1]}")
    if config.split_skew:
        train, *others = (str(inputs.interactions.split_dir(split)) for split in ("train", "eval", "test"))
        found |= {other.rpartition("-")[2]: (train, other) for other in others}
    return {title: _compare(inputs, *sides) for title, sides in found.items()}


def _compare(inputs: Inputs, baseline: str, current: str) -> DriftReport:
    """By the comparators of the schemas."""
    from homefeed.components.drift import compare as drift
    from homefeed.components.drift import sources as _drift_inputs

    before, after = _drift_inputs.load(baseline), _drift_inputs.load(current)
    kind = drift.comparator_kind(before, after)
    limits: dict[str, float] = {}
    for table in TABLES:
        schema: Schema = getattr(inputs, f"{table}_schema")
        limits |= drift.comparators([schema.file], kind, table)
    return drift.compare(before, after, comparators=limits)
