"""What a run's data is compared with, and the drift between them."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

from homefeed.components.artifacts.types import SPLITS, Examples, Schema
from homefeed.components.drift.comparators import comparator_kind, read_comparators
from homefeed.components.drift.compare import compare
from homefeed.components.drift.findings import USER_ID
from homefeed.components.drift.report import DriftReport
from homefeed.components.drift.sources.load import load
from homefeed.schemas.columns import TableName
from homefeed.schemas.dataset import load_dataset
from homefeed.schemas.tables import find_files

DRIFT = "drift"  # The name of the comparison with earlier data.


def comparisons(
    data: pathlib.Path, read_spans: Sequence[str], baseline: str, baseline_spans: int
) -> dict[str, tuple[str, str]]:
    """With which earlier data there is something to compare: DRIFT → (baseline, current), or nothing.

    Args:
        data: folder of `dataset.yaml`.
        read_spans: the spans that the run has read, earlier ones first.
        baseline: what to compare with; empty: the spans before the newest one that was read.
        baseline_spans: how many spans that is at most.
    """
    if baseline:
        return {DRIFT: (baseline, with_spans(data, read_spans))}
    if read_spans:
        known = find_files(data, load_dataset(data).interactions, "interactions").spans
        if before := spans_before(known, read_spans[-1], baseline_spans):
            return {DRIFT: (with_spans(data, before), with_spans(data, read_spans[-1:]))}
    return {}


def split_comparisons(interactions: Examples) -> dict[str, tuple[str, str]]:
    """Split → (train, it), of all splits but train."""
    train, *others = (str(interactions.split_dir(split)) for split in SPLITS)
    return {split: (train, other) for split, other in zip(SPLITS[1:], others, strict=True)}


def new_by_design(title: str) -> tuple[str, ...]:
    """The columns that differ in a comparison without any fault: a split by hash keeps users apart."""
    return () if title == DRIFT else (USER_ID,)


def with_spans(data: pathlib.Path, spans: Sequence[str]) -> str:
    """`DIR@SPANS`, or the folder alone where it has no spans."""
    return f"{data}@{','.join(spans)}" if spans else str(data)


def spans_before(all_spans: Sequence[str], newest: str, limit: int) -> list[str]:
    """At most `limit` spans just before one.

    >>> spans_before(["1", "2", "3", "4"], "3", 7)
    ['1', '2']
    """
    before = list(all_spans[: all_spans.index(newest)])
    return before[-limit:] if limit else []


def compare_by_schemas(baseline: str, current: str, schemas: Mapping[TableName, Schema]) -> DriftReport:
    """The drift between two sides, by the comparators of the schemas."""
    before, after = load(baseline), load(current)
    kind = comparator_kind(before, after)
    limits: dict[str, float] = {}
    for table, schema in schemas.items():
        limits |= read_comparators([schema.file], kind, table)
    return compare(before, after, comparators=limits)
