"""What is written down of items and queries, and the tokens of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from homefeed.components.transform.arrays import of_kinds
from homefeed.models import behaviour_text
from homefeed.schemas.columns import Feature


def learn_wordpiece(texts: Iterable[str], size: int, bert_preset: str) -> list[str]:
    """The WordPiece vocabulary of behaviour text.

    Args:
        texts: of items and of what was searched for.
        size: the most tokens.
        bert_preset: whose vocabulary is taken instead; "": nobody's.
    """
    if bert_preset:
        from homefeed.models.text.bert import preset_vocabulary  # Keras, which nobody else here needs.

        return preset_vocabulary(bert_preset)
    return behaviour_text.learn_vocabulary(texts, size)


def item_texts(items: pa.RecordBatch, features: Mapping[str, Feature]) -> list[str]:
    """The text of each item."""
    return [behaviour_text.item_text(row) for row in _rows(items, features)]


def _rows(batch: pa.RecordBatch, features: Mapping[str, Feature]) -> Iterator[dict[str, Any]]:
    """What of each row can be written down: categories, numbers, text."""
    written = {
        **of_kinds(features, "category", "categories"),
        **of_kinds(features, "number"),
        **of_kinds(features, "text"),
    }
    columns = {name: batch.column(name).to_pylist() for name in written if name in batch.schema.names}
    several = {name for name in columns if written[name].kind == "categories"}
    for row in range(batch.num_rows):
        yield {name: _value(column[row], name in several) for name, column in columns.items()}


def _value(cell: list[Any] | None, several: bool) -> Any:
    values = [value.decode() if isinstance(value, bytes) else value for value in cell or ()]
    return values if several else (values[0] if values else None)
