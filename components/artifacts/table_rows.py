"""Rows of the users and items tables as ExampleGen wrote them, by their ids: what is published beside the models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from homefeed.models.requests import Feature

if TYPE_CHECKING:
    import pyarrow as pa


def rows_by_id(table: pa.RecordBatch, key: str) -> dict[str, dict[str, Feature]]:
    """Id → column → value, without columns that say nothing of it.

    Args:
        table: every column a list, as `example_io.read_split` gives it.
        key: the column of ids.
    """
    columns = table.to_pydict()
    ids = columns.pop(key, [])
    return {
        found[0].decode(): {name: _plain(cells[row]) for name, cells in columns.items() if cells[row]}
        for row, found in enumerate(ids)
    }


def item_cards(items: pa.RecordBatch) -> dict[str, dict[str, Feature]]:
    """Item id → what a card can show: every column but the embeddings, which nobody can read."""
    rows = rows_by_id(items, "item_id")
    return {
        item_id: {name: _readable(value) for name, value in row.items() if not _is_embedding(value)}
        for item_id, row in rows.items()
    }


def _plain(cell: list[Any]) -> Feature:
    values = [value.decode() if isinstance(value, bytes) else value for value in cell]
    plain: Feature = values[0] if len(values) == 1 else values
    return plain


def _is_embedding(value: Feature) -> bool:
    return isinstance(value, list) and isinstance(value[0], float)


def _readable(value: Feature) -> Feature:
    """Examples hold float32: 14.38 has to be shown as 14.38, and not as 14.380000114440918."""
    return float(str(np.float32(value))) if isinstance(value, float) else value
