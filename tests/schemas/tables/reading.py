"""A table read whole, for the tests of its readers."""

from __future__ import annotations

import io
from typing import Any

from homefeed.schemas import tables
from homefeed.schemas.columns import STANDARD_COLUMNS, Feature
from homefeed.schemas.dataset import Table

FEATURES = {name: STANDARD_COLUMNS["interactions"][name] for name in ("user_id", "item_id", "timestamp", "value")}
HEADER = ",".join(FEATURES) + "\n"


def batches(
    content: str | bytes,
    file_format: tables.Format = "csv",
    features: dict[str, Feature] = FEATURES,
    partitions: tuple[tuple[str, str | None], ...] = (),
    **table: Any,
) -> list[tables.Batch]:
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    file = tables.File("x", file_format, partitions=partitions)
    return list(tables.read_batches(stream, file, Table(path="x", **table), features))


def read(
    content: str | bytes,
    file_format: tables.Format = "csv",
    features: dict[str, Feature] = FEATURES,
    **table: Any,
) -> tuple[list[dict[str, Any]], list[tuple[int, str | None, str, str]], list[int]]:
    """Rows; (line, column, reason, raw) of the bad ones; and the lines of the good ones."""
    found = batches(content, file_format, features, **table)
    rows = [row for batch in found for row in batch.rows.to_pylist()]
    bad = [(row.line, row.column, row.reason, row.raw) for batch in found for row in batch.bad]
    return rows, bad, [int(line) for batch in found for line in batch.lines]


def lost(*arguments: Any, **options: Any) -> list[tuple[int, str | None, str | None, str]]:
    """(line, column, value, reason) of the values that became missing."""
    found = batches(*arguments, **options)
    return [(value.line, value.column, value.value, value.reason) for batch in found for value in batch.lost]


def row(user: str, item: str, timestamp: int, value: float | None) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "timestamp": timestamp, "value": value}
