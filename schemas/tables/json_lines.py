"""Rows of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from homefeed.schemas import values
from homefeed.schemas.dataset import Feature
from homefeed.schemas.tables import rows as _rows
from homefeed.schemas.tables.rows import BadRow, RawRows, is_utf8, shown, strings


def column_names(stream: BinaryIO) -> list[str]:
    """Those of the first row that has any."""
    head = stream.read(_rows.BLOCK_BYTES).decode("utf-8-sig", "replace").split("\n")
    rows = (_json_object(line) for line in head if line.strip())
    return list(next((row for row in rows if isinstance(row, dict)), {}))


def read(stream: BinaryIO, file_format: str, wanted: dict[str, Feature]) -> Iterator[RawRows]:
    """Reads a file, block by block; empty lines are no rows."""
    line = 1
    rest = stream.read(_rows.BLOCK_BYTES).removeprefix(b"\xef\xbb\xbf")
    while rest:
        block = stream.read(_rows.BLOCK_BYTES)
        cut = rest.rfind(b"\n") + 1 if block else len(rest)
        if cut:
            yield _parse_json_lines(rest[:cut], wanted, line)
            line += rest.count(b"\n", 0, cut)
        rest = rest[cut:] + block


def _parse_json_lines(block: bytes, wanted: dict[str, Feature], line: int) -> RawRows:
    texts = block.decode("utf-8", "surrogateescape").split("\n")
    rows: list[dict[str, Any]] = []
    positions: list[int] = []
    bad: list[BadRow] = []
    for position, text in enumerate(texts):
        if not text.strip():
            continue
        row = _json_object(text)
        if not isinstance(row, str):
            row = _json_texts(row, wanted)
        if isinstance(row, str):
            bad.append(BadRow(line + position, None, None, row, shown(text)))
        else:
            rows.append(row)
            positions.append(position)
    columns = {
        name: strings([row.get(name) for row in rows], is_list=feature.kind == "categories")
        for name, feature in wanted.items()
    }
    where = np.array(positions, np.int64)
    return RawRows(columns, where + line, lambda row: shown(texts[positions[row]]), bad)


def _json_object(line: str) -> dict[str, Any] | str:
    """The row, or why it is none."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return f"not valid JSON: {error.msg}"
    return row if isinstance(row, dict) else f"expected a JSON object, found {type(row).__name__}"


def _json_texts(row: dict[str, Any], wanted: dict[str, Feature]) -> dict[str, str | list[str]] | str:
    """The wanted values as they would be in CSV (categories as a list), or why that cannot be."""
    found: dict[str, str | list[str]] = {}
    for name, feature in wanted.items():
        value = row.get(name)
        if value is None:
            continue
        parts = [_json_text(part) for part in (value if isinstance(value, list) else [value])]
        texts = [part for part in parts if part is not None]
        if len(texts) < len(parts) or not all(map(is_utf8, texts)):
            return f"{name} holds something else than valid text and numbers"
        if feature.kind == "categories":
            found[name] = texts if isinstance(value, list) else values.split(texts[0])
        elif feature.kind == "embedding":
            found[name] = " ".join(texts)
        elif isinstance(value, list):
            return f"{name} is a list, expected one value"
        else:
            found[name] = texts[0]
    return found


def _json_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else None
