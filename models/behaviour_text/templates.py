"""What of an item is written down, and in which order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Value = str | float | Sequence[str] | None
"""One column of one row: text or a category, a number (NaN: unknown), several categories, or nothing."""

BARE = ("title", "categories", "description")
"""Columns that are written without their names."""


def item_text(row: Mapping[str, Value]) -> str:
    """The text of an item: what matters most comes first, for truncation keeps the beginning.

    Args:
        row: column → value, without ids, timestamps and embeddings.

    Returns:
        One line: title, categories, the other columns with their names, in the row's order, and the description.
        Empty if nothing is known.

    Example:
        >>> item_text({"title": "Heat", "year": 1995.0, "categories": ["Action", "Crime"], "language": None})
        'Heat Action Crime year 1995'
    """
    values = {name: _written(value) for name, value in row.items()}
    title, categories, description = (values.get(name, "") for name in BARE)
    rest = (f"{name.replace('_', ' ')} {value}" for name, value in values.items() if value and name not in BARE)
    return " ".join(" ".join((title, categories, *rest, description)).split())


def _written(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return " ".join(value)
    return "" if math.isnan(value) else f"{float(value):.6g}"
