"""Templates of behaviour text: which columns of an item and of a user are written, in which order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Value = str | float | Sequence[str] | None
"""One column of one row: text or a category, a number (NaN: unknown), several categories, or nothing."""

REST = "*"
"""Stands, in a template, for every column that the template does not name, in the row's own order."""

ITEM_TEMPLATE = ("{title}", "{categories}", REST, "{description}")
USER_TEMPLATE = (REST,)
"""Pieces in order of importance, for truncation keeps the beginning. `{column}` writes the bare value."""

REST_PIECE = "{name} {value}"
"""How a column is written that no template names: "age 24"."""


def item_text(row: Mapping[str, Value], template: Sequence[str] = ITEM_TEMPLATE) -> str:
    """The text of an item.

    Args:
        row: column → value, without ids, timestamps and embeddings.
        template: the pieces, in order.

    Returns:
        One line. Empty if nothing is known.

    Example:
        >>> item_text({"title": "Heat", "year": 1995.0, "categories": ["Action", "Crime"], "language": None})
        'Heat Action Crime year 1995'
    """
    return _render(row, template)


def user_text(row: Mapping[str, Value], template: Sequence[str] = USER_TEMPLATE) -> str:
    """The text of a user's features.

    Example:
        >>> user_text({"age": 24, "gender": "M", "occupation": "technician"})
        'age 24 gender M occupation technician'
    """
    return _render(row, template)


def _render(row: Mapping[str, Value], template: Sequence[str]) -> str:
    values = {name: _written(value) for name, value in row.items()}
    named = {name for name in values if any(f"{{{name}}}" in piece for piece in template)}
    rest = " ".join(
        REST_PIECE.format(name=name.replace("_", " "), value=value)
        for name, value in values.items()
        if value and name not in named
    )
    # A column that the table lacks is written as nothing.
    bare = _Blank({name: value for name, value in values.items() if name in named})
    pieces = (rest if piece == REST else piece.format_map(bare) for piece in template)
    return " ".join(" ".join(pieces).split())


class _Blank(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return ""


def _written(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return " ".join(value)
    return "" if math.isnan(value) else f"{float(value):.6g}"
