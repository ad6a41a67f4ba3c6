"""Drift and skew between spans, splits, or training data and serving logs, with limits beyond chance.

Every column is judged by a distance that fits it, and every figure is reported, quiet or not:

| column | distance | quiet up to |
|---|---|---|
| category | L-infinity: the largest change of a share | `MIN_SHARE`, or 4 standard errors |
| ids, and categories with very many values | Jensen-Shannon, in bits, exact | chance + `MIN_DIVERGENCE` |
| number, events per user | Kolmogorov-Smirnov | `MIN_KS`, or its 0.1% critical value |
| missing values | change of the rate | `MIN_MISSING`, or 4 standard errors |
| ids and words that the baseline lacks | their share | Good and Turing's estimate + `MIN_UNSEEN`, or 4 s.e. |
| text of an item that both sides have | the share of these items with another text | `MIN_CHANGED`, or one item |

A limit that no change can exceed is an error where it was asked for; where chance makes it, of very few values, the
verdict is that they are too few.

*Chance* is what two samples of these sizes from one population would show: for ids, the mean over random
re-partings of both samples together. Standard errors come from random groups of users, because the events of
one user resemble each other (Wolter, Introduction to Variance Estimation, 2007, chapter 2).

A drift comparator of a schema (a skew comparator, where one side is a log of requests) takes the place of `MIN_SHARE`
or `MIN_DIVERGENCE`: it says which change matters, and the limit is never below what chance would show.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Collection, Mapping

from homefeed.components.artifacts.types import DatasetDir
from homefeed.components.drift.comparators import comparator_kind, read_comparators
from homefeed.components.drift.findings import LARGEST, Finding
from homefeed.components.drift.judge import judge, judge_events_per_user
from homefeed.components.drift.report import DriftReport
from homefeed.components.drift.sources.load import load, split_spans
from homefeed.components.drift.summary import Summary
from homefeed.schemas.dataset import DatasetError


def run_drift(
    baseline: pathlib.Path | str,
    current: pathlib.Path | str,
    schema: pathlib.Path | str | None = None,
    thresholds: Mapping[str, float] | None = None,
    without: Collection[str] = (),
) -> DriftReport:
    """Compares two datasets, or parts of them.

    Args:
        baseline: a data folder (`DIR@SPANS` for some of its spans), Examples (ExampleGen's folder, one table's or one
            split's), one split's TFDV statistics, or a log of requests.
        current: the same.
        schema: folder of `<table>.pbtxt`, or one such file, whose comparators set thresholds. None: those of the
            current (or else the baseline's) data folder's `schema/`, if it has one.
        thresholds: `table.column:measure` → the value over which it is drift; takes precedence.
        without: `table.column` that is not compared.

    Raises:
        DatasetError: a side cannot be read, a comparator or threshold cannot be evaluated, or a column is on one
            side only.
    """
    sides = _without(load(baseline), without), _without(load(current), without)
    folders = (DatasetDir(split_spans(side)[0]) for side in (current, baseline))
    curated = next((files for folder in folders if (files := folder.curated_schemas())), [])
    files = _schema_files(pathlib.Path(schema)) if schema else curated
    limits = read_comparators(files, comparator_kind(*sides))
    if all(side.num_rows.keys() == {"statistics"} for side in sides):  # They do not say of which table they are.
        limits = {f"statistics.{name.partition('.')[2]}": limit for name, limit in limits.items()}
    limits = {name: limit for name, limit in limits.items() if name.rpartition(":")[0] not in without}
    return compare(*sides, thresholds, limits)


def _without(side: Summary, left_out: Collection[str]) -> Summary:
    columns = {name: column for name, column in side.columns.items() if name not in left_out}
    return dataclasses.replace(side, columns=columns) if left_out else side


def _schema_files(schema: pathlib.Path) -> list[pathlib.Path]:
    files = sorted(schema.glob("*.pbtxt")) if schema.is_dir() else [schema]
    if not files or not files[0].is_file():
        raise DatasetError(f"No schema (`<table>.pbtxt`) at {schema}.")
    return files


def compare(
    baseline: Summary,
    current: Summary,
    thresholds: Mapping[str, float] | None = None,
    comparators: Mapping[str, float] | None = None,
) -> DriftReport:
    """Judges every column that both sides have.

    Args:
        baseline: what was.
        current: what is.
        thresholds: `table.column:measure` → the value over which it is drift.
        comparators: `table.column:measure` → the change that matters, beyond what chance makes. Those of a table that
            one side is not about do not count.

    Raises:
        DatasetError: a table is empty on one side, a column is on one side only, or a threshold or comparator is
            given for a distance that cannot be evaluated.
    """
    apart = _check_sides(baseline, current)
    findings: dict[str, Finding] = {}
    wanted = comparators or {}
    for name in (name for name in baseline.columns if name in current.columns):
        matters = {key.rpartition(":")[2]: limit for key, limit in wanted.items() if key.rpartition(":")[0] == name}
        for found in judge(name, baseline.columns[name], current.columns[name], matters):
            findings[f"{name}:{found.measure}"] = found
    if baseline.events_per_user and current.events_per_user:
        found = judge_events_per_user(baseline.events_per_user, current.events_per_user)
        findings[f"{found.feature}:{found.measure}"] = found
    shared = baseline.num_rows.keys() & current.num_rows.keys()
    asked = {key for key in wanted if key.partition(".")[0] in shared and not _is_empty(key, baseline, current)}
    asked |= set(thresholds or ())
    if unknown := sorted(asked - findings.keys()):
        raise DatasetError(
            f"Thresholds for {', '.join(unknown)} cannot be evaluated. What can: {', '.join(sorted(findings))}."
        )
    _check_limits({key: limit for key, limit in wanted.items() if key in asked} | dict(thresholds or {}))
    judged = (
        dataclasses.replace(found, threshold=(thresholds or {}).get(key, found.threshold))
        for key, found in findings.items()
    )
    return DriftReport(baseline, current, tuple(judged), tuple(apart))


def _check_limits(limits: Mapping[str, float]) -> None:
    """Refuses limits that say nothing: no distance is larger than LARGEST, and none is over what is no number."""
    idle = [f"{key}={limit:g}" for key, limit in sorted(limits.items()) if not limit < LARGEST]
    if idle:
        raise DatasetError(
            f"The limits {', '.join(idle)} can never be exceeded: a distance is at most {LARGEST:g}. Lower them."
        )


def _is_empty(key: str, *sides: Summary) -> bool:
    """Whether a comparator is of a column without a value on any side, which is no change."""
    columns = [side.columns.get(key.rpartition(":")[0]) for side in sides]
    return all(column is not None and not column.num_values for column in columns)


def _check_sides(baseline: Summary, current: Summary) -> list[str]:
    """The columns that only one side can have: of a table that the other is not about, or that requests lack."""
    faults, apart = [], []
    for side, other in ((baseline, current), (current, baseline)):
        faults += [f"{side.name}: {table} has no rows" for table, count in side.num_rows.items() if not count]
        for name in side.columns.keys() - other.columns.keys():
            if other.is_log or name.partition(".")[0] not in other.num_rows:
                apart.append(name)
            else:
                faults.append(f"{name} is in {side.name} only")
    for name in baseline.columns.keys() & current.columns.keys():
        kinds = {baseline.columns[name].kind, current.columns[name].kind}
        if len(kinds) == 2 and kinds & {"number", "text"}:
            faults.append(f"{name} is {' on one side and '.join(sorted(kinds))} on the other")
    if not baseline.columns.keys() & current.columns.keys():
        faults.append(f"{baseline.name} and {current.name} have no column in common")
    if faults:
        raise DatasetError("Drift cannot be judged: " + "; ".join(sorted(faults)) + ".")
    return sorted(apart)
