"""Drift and skew that can be believed: between spans, splits, or training data and serving logs.

Every column is judged by a distance that fits it, and every figure is reported, quiet or not:

| column | distance | quiet up to |
|---|---|---|
| category | L-infinity: the largest change of a share | `MIN_SHARE`, or 4 standard errors |
| ids, and categories with very many values | Jensen-Shannon, in bits, exact | chance + `MIN_DIVERGENCE` |
| number, events per user | Kolmogorov-Smirnov | `MIN_KS`, or its 0.1% critical value |
| missing values | change of the rate | `MIN_MISSING`, or 4 standard errors |
| ids and words that the baseline lacks | their share | Good and Turing's estimate + `MIN_UNSEEN`, or 4 s.e. |

*Chance* is what two samples of these sizes from one population would show: for ids, the mean over random
re-partings of both samples together. Standard errors come from random groups of users, because the events of
one user resemble each other (Wolter, Introduction to Variance Estimation, 2007, chapter 2).

A drift comparator of a schema (a skew comparator, where one side is a log of requests) takes the place of `MIN_SHARE`
or `MIN_DIVERGENCE`: it says which change matters, and the limit is never below what chance would show.
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts.types import DatasetDir
from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.features import MIN_DIVERGENCE, MIN_SHARE

if TYPE_CHECKING:
    from homefeed.components.drift.summary import Column, Summary

Floats = npt.NDArray[np.float64]
Counts = Mapping[Any, int]

MIN_KS = 0.04
MIN_MISSING = 0.005
MIN_UNSEEN = 0.02
USER_ID = "interactions.user_id"  # Whose values name people, and so stay out of reports.
NUM_ERRORS = 4  # Standard errors: one false alarm in 30,000.
NUM_PARTINGS = 20
NUM_BUCKETS = 20  # Of numbers, where a comparator wants their Jensen-Shannon divergence.
KS_MEAN, KS_CRITICAL = 0.8687, 1.9495  # Of Kolmogorov's distribution: its mean, and what one in 1,000 exceeds.
Measure = Literal[
    "l_infinity", "jensen_shannon", "kolmogorov_smirnov", "missing_rate", "unseen_share", "events_per_user"
]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One distance of one column."""

    feature: str  # `table.column`
    measure: Measure
    value: float
    chance: float  # What it would be about without any drift.
    threshold: float
    detail: str  # Where the change is greatest, for people.

    @property
    def drifted(self) -> bool:
        """The verdict. A value that is not a number is drift, never a pass."""
        return not self.value <= self.threshold


@dataclasses.dataclass(frozen=True)
class DriftReport:
    """All findings, and what they were made from."""

    baseline: Summary
    current: Summary
    findings: tuple[Finding, ...]
    not_compared: tuple[str, ...] = ()  # Columns that only one side can have.

    @property
    def drifted(self) -> list[Finding]:
        """Those over their threshold."""
        return [finding for finding in self.findings if finding.drifted]

    def reasons(self, allowed: Collection[str] = ()) -> list[str]:
        """Each drift in a sentence, but of the columns (`table.column`) where it is allowed."""
        return [
            f"{found.feature}: {found.measure} {found.value:.4f} is over {found.threshold:.4f}"
            + (f" ({found.detail})" if found.detail else "")
            for found in self.drifted
            if found.feature not in allowed
        ]

    def to_text(self) -> str:
        """A table of all findings, worst first within each verdict."""
        lines = [f"{'feature':32}{'distance':20}{'value':>9}{'chance':>9}{'limit':>9}  verdict"]
        for found in sorted(self.findings, key=lambda f: (not f.drifted, f.feature, f.measure)):
            lines.append(
                f"{found.feature:32}{found.measure:20}{found.value:9.4f}{found.chance:9.4f}{found.threshold:9.4f}"
                f"  {'DRIFT' if found.drifted else 'quiet'}{'  ' + found.detail if found.drifted else ''}"
            )
        if self.not_compared:
            lines.append(f"not compared, being on one side only: {', '.join(self.not_compared)}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain values; NaN becomes null."""
        return {
            "baseline": {"name": self.baseline.name, "rows": self.baseline.num_rows},
            "current": {"name": self.current.name, "rows": self.current.num_rows},
            "drifted": [f"{found.feature}:{found.measure}" for found in self.drifted],
            "not_compared": list(self.not_compared),
            "findings": [
                {
                    name: None if isinstance(value, float) and not math.isfinite(value) else value
                    for name, value in (dataclasses.asdict(found) | {"drifted": found.drifted}).items()
                }
                for found in self.findings
            ],
        }

    def write(self, json_path: pathlib.Path | None = None, html_path: pathlib.Path | None = None) -> None:
        """Writes the report as JSON, as a self-contained HTML page, or both."""
        if json_path:
            text = json.dumps(self.to_json(), ensure_ascii=False, indent=2, allow_nan=False)
            json_path.write_text(text + "\n", encoding="utf-8")
        if html_path:
            from homefeed.components.drift import page as _drift_page

            html_path.write_text(_drift_page.page(self), encoding="utf-8")


def run_drift(
    baseline: pathlib.Path | str,
    current: pathlib.Path | str,
    schema: pathlib.Path | str | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> DriftReport:
    """Compares two datasets, or parts of them.

    Args:
        baseline: a data folder (`DIR@SPANS` for some of its spans), Examples (ExampleGen's folder, one table's or one
            split's), one split's TFDV statistics, or a log of requests.
        current: the same.
        schema: folder of `<table>.pbtxt`, or one such file, whose comparators set thresholds. None: those of the
            current (or else the baseline's) data folder's `schema/`, if it has one.
        thresholds: `table.column:measure` → the value over which it is drift; takes precedence.

    Raises:
        DatasetError: a side cannot be read, a comparator or threshold cannot be evaluated, or a column is on one
            side only.
    """
    from homefeed.components.drift import sources as _drift_inputs

    sides = _drift_inputs.load(baseline), _drift_inputs.load(current)
    folders = (DatasetDir(_drift_inputs.split_spans(side)[0]) for side in (current, baseline))
    curated = next((files for folder in folders if (files := folder.curated_schemas())), [])
    files = _schema_files(pathlib.Path(schema)) if schema else curated
    limits = comparators(files, comparator_kind(*sides)) if files else {}
    if all(side.num_rows.keys() == {"statistics"} for side in sides):  # They do not say of which table they are.
        limits = {f"statistics.{name.partition('.')[2]}": limit for name, limit in limits.items()}
    return compare(*sides, thresholds, limits)


Comparators = Literal["drift_comparator", "skew_comparator"]


def comparator_kind(*sides: Summary) -> Comparators:
    """Skew is between training data and what is served, drift is everything else."""
    return "skew_comparator" if any(side.is_log for side in sides) else "drift_comparator"


def comparators(files: Iterable[pathlib.Path], kind: Comparators, table: str = "") -> dict[str, float]:
    """What the comparators of schemas say matters, by `table.column:measure`.

    Args:
        files: `<table>.pbtxt`, or a Schema artifact's `schema.pbtxt`, whose folder is named after the table.
        kind: which comparators.
        table: whose schemas they are, if not the files' names say it.
    """
    from homefeed.components.artifacts.quiet_tfdv import tfdv

    found = {}
    for file in files:
        table_of_file = table or (file.parent.name if file.stem == "schema" else file.stem)
        for feature in tfdv.load_schema_text(str(file)).feature:
            comparator, name = getattr(feature, kind), f"{table_of_file}.{feature.name}"
            if comparator.HasField("infinity_norm"):
                found[f"{name}:l_infinity"] = comparator.infinity_norm.threshold
            if comparator.HasField("jensen_shannon_divergence"):
                found[f"{name}:jensen_shannon"] = comparator.jensen_shannon_divergence.threshold
    return found


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
        for found in _judge(name, baseline.columns[name], current.columns[name], matters):
            findings[f"{name}:{found.measure}"] = found
    if baseline.events_per_user and current.events_per_user:
        found = _events_per_user(baseline.events_per_user, current.events_per_user)
        findings[f"{found.feature}:{found.measure}"] = found
    shared = baseline.num_rows.keys() & current.num_rows.keys()
    asked = {key for key in wanted if key.partition(".")[0] in shared and not _is_empty(key, baseline, current)}
    asked |= set(thresholds or ())
    if unknown := sorted(asked - findings.keys()):
        raise DatasetError(
            f"Thresholds for {', '.join(unknown)} cannot be evaluated. What can: {', '.join(sorted(findings))}."
        )
    judged = (
        dataclasses.replace(found, threshold=(thresholds or {}).get(key, found.threshold))
        for key, found in findings.items()
    )
    return DriftReport(baseline, current, tuple(judged), tuple(apart))


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


def _judge(name: str, before: Column, after: Column, matters: Mapping[str, float]) -> list[Finding]:
    """The findings of one column, among them those that comparators ask for (`matters`: measure → change)."""
    if not before.num_values and not after.num_values:
        return []  # Nobody fills it in.
    findings = [_missing(name, before, after)]
    if not before.num_values or not after.num_values:
        return findings  # All values are missing on one side: the rate says so.
    if before.kind == "number":
        findings.append(_number(name, before, after))
        if "jensen_shannon" in matters:
            findings.append(_ids(name, *_in_buckets(before, after), matters["jensen_shannon"]))
        return findings
    are_categories = before.kind == after.kind == "category"
    if are_categories or "l_infinity" in matters:
        findings.append(_category(name, before, after, matters.get("l_infinity", MIN_SHARE)))
    are_ids = before.kind != "text" and not are_categories and name != USER_ID
    if are_ids or "jensen_shannon" in matters:
        findings.append(_ids(name, before.values, after.values, matters.get("jensen_shannon", MIN_DIVERGENCE)))
    if not are_categories:
        findings.append(_unseen(name, before.values, after.values))
    return findings


def _events_per_user(before: Counter[int], after: Counter[int]) -> Finding:
    value, _ = kolmogorov_smirnov(before, after)
    gap = _ks_gap(sum(before.values()), sum(after.values()))
    detail = f"mean {_mean(before):.1f} → {_mean(after):.1f}"
    limit = max(MIN_KS, KS_CRITICAL * gap)
    return Finding(USER_ID, "events_per_user", value, KS_MEAN * gap, limit, detail)


# --- Distances ---


def jensen_shannon(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> float:
    """Jensen-Shannon divergence in bits, 0 (the same) to 1 (nothing in common).

    Args:
        before: [num_values] counts.
        after: [num_values] counts of the same values.

    Half of one's mass is where the other has none:

    >>> jensen_shannon(np.array([1, 1, 0]), np.array([1, 0, 1]))
    0.5
    """
    p, q = before / before.sum(), after / after.sum()
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log2(p / middle), 0) + np.where(q > 0, q * np.log2(q / middle), 0)
    return float(terms.sum() / 2)


def kolmogorov_smirnov(before: Counts, after: Counts) -> tuple[float, Any]:
    """The largest gap between two cumulative distributions, and the value where it is."""
    values = sorted(before.keys() | after.keys())
    p, q = (np.cumsum([float(side.get(value, 0)) for value in values]) for side in (before, after))
    gaps = np.abs(p / p[-1] - q / q[-1])
    return float(gaps.max()), values[int(gaps.argmax())]


def unseen_mass(counts: Counts) -> float:
    """Good and Turing's estimate of the share of values not seen yet: those seen once (Good, 1953).

    >>> unseen_mass({"a": 7, "b": 2, "c": 1})
    0.1
    """
    return sum(count == 1 for count in counts.values()) / sum(counts.values())


def _ids(name: str, before: Counts, after: Counts, matters: float) -> Finding:
    values = list(before.keys() | after.keys())
    pair = np.array([[side.get(value, 0) for value in values] for side in (before, after)], np.int64)
    order = np.lexsort((pair[1], pair[0]))  # Whatever the order of the rows was.
    pair, values = pair[:, order], [values[place] for place in order]
    sizes = pair.sum(axis=1)
    rng = np.random.default_rng(0)
    together = pair.sum(axis=0)
    partings = []
    for _ in range(NUM_PARTINGS):
        part = rng.binomial(together, sizes[0] / sizes.sum())
        partings.append(jensen_shannon(part, together - part))
    chance, spread = float(np.mean(partings)), float(np.std(partings))
    # A tenth of what chance does, because users, not events, are what is sampled.
    limit = chance + max(matters, 6 * spread, 0.1 * chance)
    change = pair[1] / sizes[1] - pair[0] / sizes[0]
    return Finding(name, "jensen_shannon", jensen_shannon(*pair), chance, limit, _moved(name, values, change))


def _category(name: str, before: Column, after: Column, matters: float) -> Finding:
    shares = [_shares(side) for side in (before, after)]
    values = sorted(shares[0].keys() | shares[1].keys())
    absent = (0.0, 0.0)
    pairs = [[side.get(value, absent) for value in values] for side in shares]
    change = np.array([b[0] - a[0] for a, b in zip(*pairs, strict=True)])
    errors = np.array([math.hypot(a[1], b[1]) for a, b in zip(*pairs, strict=True)])
    limits = np.maximum(matters, NUM_ERRORS * errors)
    worst = int(np.argmax(np.abs(change) / limits))
    found = (float(abs(change[worst])), float(errors[worst]), float(limits[worst]))
    return Finding(name, "l_infinity", *found, _moved(name, values, change))


def _shares(column: Column) -> dict[Any, tuple[float, float]]:
    """Each value's share and its standard error; of ids, without the resemblance of one user's events."""
    if column.kind == "category":
        totals = np.sum(list(column.grouped.values()), axis=0, dtype=np.int64)
        return {value: _share(counts, totals) for value, counts in column.grouped.items()}
    total = column.num_values
    return {
        value: (count / total, math.sqrt(count / total * (1 - count / total) / total))
        for value, count in column.values.items()
    }


def _in_buckets(before: Column, after: Column) -> tuple[Counts, Counts]:
    """Two columns of numbers as counts of common buckets that hold about the same number of both together."""
    together = before.values + after.values
    places = sorted(together)
    ranks = np.cumsum([together[place] for place in places])
    bucket = dict(zip(places, (NUM_BUCKETS * (ranks - 1) // ranks[-1]).tolist(), strict=True))
    counted: list[Counter[int]] = [Counter(), Counter()]
    for counts, side in zip(counted, (before, after), strict=True):
        for place, count in side.values.items():
            counts[bucket[place]] += round(count)
    return counted[0], counted[1]


def _missing(name: str, before: Column, after: Column) -> Finding:
    (old, old_error), (new, new_error) = (_share(side.missing, side.rows) for side in (before, after))
    error = math.hypot(old_error, new_error)
    limit = max(MIN_MISSING, NUM_ERRORS * error)
    return Finding(name, "missing_rate", abs(new - old), error, limit, f"{old:.2%} → {new:.2%}")


def _number(name: str, before: Column, after: Column) -> Finding:
    from homefeed.components.drift.summary import bin_values

    value, where = kolmogorov_smirnov(before.values, after.values)
    gap = _ks_gap(*(side.num_values / _design_effect(side) for side in (before, after)))
    limit = max(MIN_KS, KS_CRITICAL * gap) + max(before.coarseness, after.coarseness)
    at = float(bin_values(np.array([where]))[0])
    means = [float(side.sums[1].sum() / side.sums[0].sum()) for side in (before, after)]
    detail = f"mean {means[0]:.4g} → {means[1]:.4g}; widest apart at {at:.4g}"
    return Finding(name, "kolmogorov_smirnov", value, KS_MEAN * gap, limit, detail)


def _unseen(name: str, before: Counts, after: Counts) -> Finding:
    size, new_size = sum(before.values()), sum(after.values())
    new = {value: count for value, count in after.items() if value not in before}
    share = sum(new.values()) / new_size
    expected = unseen_mass(before)
    # Twice the binomial variance: new values come in clusters (an item's words, a user's events).
    error = math.sqrt(2 * max(expected, share) * (1 / size + 1 / new_size))
    limit = expected + max(MIN_UNSEEN, NUM_ERRORS * error)
    top = sorted(new, key=lambda value: (-new[value], str(value)))[:3] if name != USER_ID else []
    detail = f"{len(new):,} new" + (f", as {', '.join(map(str, top))}" if top else "")
    return Finding(name, "unseen_share", share, expected, limit, detail)


def _share(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> tuple[float, float]:
    """A share, and its standard error by random groups or, if that is larger, the binomial's.

    Args:
        part: [num_groups] counts.
        whole: [num_groups] counts.
    """
    total = int(whole.sum())
    share = part.sum() / total
    binomial = share * (1 - share) / total
    present = whole > 0
    num_groups = int(present.sum())
    if num_groups < 2:
        return float(share), math.sqrt(binomial)
    residuals = part[present] - share * whole[present]
    grouped = float(np.sum(residuals**2)) * num_groups / (num_groups - 1) / total**2
    return float(share), math.sqrt(max(binomial, grouped, 0.25 / total**2))


def _design_effect(column: Column) -> float:
    """How many values of a number, given by the same users, say as much as one of a user of its own."""
    counts, sums, squares = column.sums
    total = counts.sum()
    mean = sums.sum() / total
    variance = squares.sum() / total - mean**2
    present = counts > 0
    num_groups = int(present.sum())
    if num_groups < 2 or variance <= 0:
        return 1.0
    grouped = np.sum((sums[present] - mean * counts[present]) ** 2) * num_groups / (num_groups - 1) / total**2
    return max(1.0, float(grouped / (variance / total)))


def _ks_gap(before: float, after: float) -> float:
    """The unit in which Kolmogorov's distribution measures gaps between samples of these sizes."""
    return math.sqrt(1 / before + 1 / after)


def _mean(counts: Counter[int]) -> float:
    return sum(value * count for value, count in counts.items()) / sum(counts.values())


def _moved(name: str, values: list[Any], change: Floats) -> str:
    """The values whose shares changed most."""
    if name == USER_ID:
        return ""
    places = np.argsort(-np.abs(change), kind="stable")[:3]
    return ", ".join(f"{values[place]} {change[place]:+.2%}" for place in places)
