"""A table read whole, for the tests of its readers."""

import io
from typing import Any

from homefeed.schemas import tables
from homefeed.schemas.dataset import STANDARD_COLUMNS, Feature, Table

FEATURES = {name: STANDARD_COLUMNS["interactions"][name] for name in ("user_id", "item_id", "timestamp", "value")}
HEADER = ",".join(FEATURES) + "\n"


def read(
    content: str | bytes,
    file_format: tables.Format = "csv",
    features: dict[str, Feature] = FEATURES,
    columns: dict[str, str] | None = None,
) -> tuple[list[dict[str, Any]], list[tuple[int, str | None, str, str]], list[int]]:
    """Rows; (line, column, reason, raw) of the bad ones; and the lines of the good ones."""
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    batches = list(tables.read_batches(stream, file_format, Table(path="x", columns=columns or {}), features))
    rows = [row for batch in batches for row in batch.rows.to_pylist()]
    bad = [(row.line, row.column, row.reason, row.raw) for batch in batches for row in batch.bad]
    return rows, bad, [int(line) for batch in batches for line in batch.lines]


def row(user: str, item: str, timestamp: int, value: float | None) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "timestamp": timestamp, "value": value}
