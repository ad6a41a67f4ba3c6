"""ExampleValidator: a gate that stops the run where the data breaks its schema, or has drifted.

Drift is judged where there is something to compare with: the newest span with those just before it, or the data with
a baseline that the configuration names. Splits are compared with each other only when asked (`split_skew`): those of
a temporal split lie one after the other in time, and those of leave-one-out hold one event a user, so that they
differ by design.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

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
from homefeed.components.drift.sources.load import split_spans
from homefeed.schemas.columns import TABLES
from homefeed.schemas.dataset import FILE_NAME
from homefeed.schemas.settings import CountOrNone, Form

DRIFT_FILE, DRIFT_PAGE, DATASET_PAGE = "drift.json", "drift.html", "dataset.html"


def _is_there(baseline: str) -> bool:
    return not baseline or "://" in baseline or split_spans(baseline)[0].exists()


BaselinePath = Annotated[str, Form("a dataset or statistics that are there", _is_there, on_this_machine=True)]


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

    environment: Literal["TRAINING", "SERVING"] = "TRAINING"  # Of the schema: TRAINING or SERVING.
    allowed: tuple[str, ...] = ()  # `table.feature` whose anomalies and drift are reported but do not stop the run.
    baseline: BaselinePath = ""  # What to compare with, as in `homefeed drift`; empty: earlier spans.
    baseline_spans: CountOrNone = 7  # How many spans that is at most: a week holds every weekday. 0: none.
    split_skew: bool = False  # Whether eval and test must look like train.

    def check(self) -> list[str]:
        """What of `allowed` names no feature of a table."""
        wrong = [name for name in self.allowed if name.partition(".")[0] not in TABLES or not name.partition(".")[2]]
        return [f"allowed: expected table.feature, such as interactions.value, got {name!r}" for name in wrong]


def config_inputs(config: Config) -> dict[str, Artifact]:
    """What the configuration names outside the pipeline: its content counts in cache and lineage."""
    if not config.baseline:
        return {}
    path, _ = split_spans(config.baseline)
    return {"baseline": DatasetDir(path) if (path / FILE_NAME).is_file() else Baseline(path)}


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Writes the anomalies of every split, the distances to the baseline, a page of the data, and the verdict.

    Raises:
        DatasetError: a drift comparator of a schema cannot be evaluated.
    """
    from homefeed.components.example_validator import anomalies, comparisons, dataset_page

    statistics = {table: getattr(inputs, f"{table}_statistics") for table in TABLES}
    schemas = {table: getattr(inputs, f"{table}_schema") for table in TABLES}
    reasons, num_allowed = anomalies.write_anomalies(
        statistics, schemas, outputs.anomalies, config.environment, config.allowed
    )
    data, counts = inputs.dataset.path, inputs.quarantine.read_json(Quarantine.COUNTS_FILE)
    read_spans = counts["interactions"]["spans"]
    sides = comparisons.comparisons(data, read_spans, config.baseline, config.baseline_spans)
    lines = [f"{len(reasons)} anomalies" + (f", {num_allowed} allowed" if num_allowed else "")]
    if config.split_skew:
        sides |= comparisons.split_comparisons(inputs.interactions)
    for title, pair in sides.items():
        report = comparisons.compare_by_schemas(*pair, schemas)
        name = "" if title == comparisons.DRIFT else f"-{title}"
        outputs.anomalies.write_json(DRIFT_FILE.replace(".", f"{name}."), report.to_json())
        report.write(html_path=outputs.anomalies.path / DRIFT_PAGE.replace(".", f"{name}."))
        reasons += report.reasons((*config.allowed, *comparisons.new_by_design(title)))
        few = f", {len(report.undecided)} of too few values to tell" if report.undecided else ""
        lines.append(f"{title}: {len(report.drifted)} of {len(report.findings)} distances over their limits{few}")
    if comparisons.DRIFT not in sides:
        lines.append("drift not judged: no earlier span, no baseline")
    page = outputs.anomalies.path / DATASET_PAGE
    dataset_page.write_page(comparisons.with_spans(data, read_spans), page, counts, reasons)
    outputs.anomalies.write_reasons(reasons)
    return "; ".join(lines)
