"""Rows of JSON lines. A value in an object has a name with dots: `user.id`; of a list of objects, it is a list."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from homefeed.schemas import values
from homefeed.schemas.columns import Feature
from homefeed.schemas.dataset import DatasetError, Table
from homefeed.schemas.tables import rows as _rows
from homefeed.schemas.tables.files import File
from homefeed.schemas.tables.rows import BadRow, Faults, RawRows, as_lists, as_texts, shown

if TYPE_CHECKING:
    import pyarrow as pa

HEAD_ROWS = 1000  # Whose keys are listed as the file's columns.
ABSENT = object()
OBJECTS = "holds objects; a field of theirs is a column with a dot in its name: `genre.name`"


def column_names(stream: BinaryIO, file: File, candidates: Collection[str]) -> list[str]:
    """The keys of the first rows, and those of the candidates that any row has.

    Args:
        stream: the file.
        file: what it is, for messages.
        candidates: columns that matter: the file is searched to its end for those that the first rows lack.

    Raises:
        DatasetError: it is one JSON document, rather than one a line.
    """
    found: dict[str, None] = {}
    missing = set(candidates)
    for number, block in enumerate(_blocks(stream)):
        if not number:
            _check_is_lines(block, file)
            lines = block.decode("utf-8", "replace").split("\n")[:HEAD_ROWS]
            read = [_json_object(line) for line in lines if line.strip()]
            rows = [row for row in read if isinstance(row, dict)]
            if read and not rows:
                raise DatasetError(
                    f"{file.path}: expected JSON lines, and none of the first lines is one. The first: {read[0]}."
                )
            found = dict.fromkeys(key for row in rows for key in row)
            missing -= {name for name in candidates if any(look_up(row, name) is not ABSENT for row in rows)}
        missing -= {name for name in missing if _is_in(block, name)}
        if not missing:
            break
    return list(found | dict.fromkeys(name for name in candidates if name not in missing))


def read(stream: BinaryIO, file: File, table: Table, wanted: Mapping[str, Feature]) -> Iterator[RawRows]:
    """Reads a file, block by block; empty lines are no rows."""
    line = 1
    for block in _blocks(stream):
        yield _parse(block, wanted, line)
        line += block.count(b"\n")


def look_up(row: Mapping[str, Any], name: str) -> Any:
    """A value by its key or, where there is no such key, by a path of them.

    >>> look_up({"user": {"id": 7}, "tags": [{"name": "a"}, {"name": "b"}]}, "tags.name")
    ['a', 'b']
    """
    if name in row:
        return row[name]
    first, dot, rest = name.partition(".")
    inner = row.get(first) if dot else None
    if isinstance(inner, dict):
        return look_up(inner, rest)
    if isinstance(inner, list) and inner and all(isinstance(part, dict) for part in inner):
        found = [look_up(part, rest) for part in inner]
        return ABSENT if ABSENT in found else found
    return ABSENT


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Whole lines."""
    rest = stream.read(_rows.BLOCK_BYTES).removeprefix(b"\xef\xbb\xbf")
    while rest:
        block = stream.read(_rows.BLOCK_BYTES)
        cut = rest.rfind(b"\n") + 1 if block else len(rest)
        if cut:
            yield rest[:cut]
        rest = rest[cut:] + block


def _check_is_lines(block: bytes, file: File) -> None:
    first = next((line.strip() for line in block.split(b"\n") if line.strip()), b"")
    if first.startswith(b"[") or first == b"{":
        what = "a JSON array" if first.startswith(b"[") else "one JSON object"
        mend = ".[]" if first.startswith(b"[") else "."
        stem, _, ending = file.path.rpartition(".")
        mended = f"{stem}.lines.jsonl" if ending == "jsonl" else f"{stem}.jsonl"  # Another file, or it would be lost.
        raise DatasetError(
            f"{file.path} is {what}, expected JSON lines, one object a line: `jq -c '{mend}' {file.path} > {mended}` "
            "mends that."
        )


def _is_in(block: bytes, name: str) -> bool:
    """Whether a row of the block has such a column. Searching is much quicker than parsing, so that comes first."""
    key = name.partition(".")[0]
    for spelt in {json.dumps(key).encode(), json.dumps(key, ensure_ascii=False).encode("utf-8", "replace")}:
        at = block.find(spelt)
        while at >= 0:
            end = block.find(b"\n", at)
            end = len(block) if end < 0 else end
            row = _json_object(block[block.rfind(b"\n", 0, at) + 1 : end].decode("utf-8", "replace"))
            if isinstance(row, dict) and look_up(row, name) is not ABSENT:
                return True
            at = block.find(spelt, end)
    return False


def _json_object(line: str) -> dict[str, Any] | str:
    """The row, or why it is none."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return f"not valid JSON: {error.msg}"
    except (ValueError, RecursionError):
        return "not valid JSON: too many digits or levels"
    return row if isinstance(row, dict) else f"expected a JSON object, found {type(row).__name__}"


def _parse(block: bytes, wanted: Mapping[str, Feature], line: int) -> RawRows:
    texts = block.decode("utf-8", "surrogateescape").split("\n")
    rows: list[dict[str, Any]] = []
    positions: list[int] = []
    bad: list[BadRow] = []
    for position, text in enumerate(texts):
        if not text.strip():
            continue
        row = _json_object(text)
        if isinstance(row, str):
            bad.append(BadRow(line + position, None, None, row, shown(text)))
        else:
            rows.append(row)
            positions.append(position)
    columns, faults = {}, {}
    for name, feature in wanted.items():
        cells = [row.get(name) for row in rows] if "." not in name else [look_up(row, name) for row in rows]
        columns[name], faults[name] = _column(cells, feature)
    where = np.array(positions, np.int64)
    return RawRows(columns, where + line, lambda row: shown(texts[positions[row]]), bad, faults)


def _column(cells: list[Any], feature: Feature) -> tuple[pa.Array, Faults]:
    """Values as they would be in CSV (categories as a list), and those that cannot be."""
    faults: Faults = {}
    texts: list[Any] = []
    for position, cell in enumerate(cells):
        if type(cell) is str and feature.kind != "categories":
            texts.append(cell)
            continue
        try:
            texts.append(_text(cell, feature))
        except ValueError as error:
            faults[position] = (shown(json.dumps(cell, ensure_ascii=False)), str(error))
            texts.append(None)
    column, others = (as_lists if feature.kind == "categories" else as_texts)(texts)
    return column, faults | others


def _text(cell: Any, feature: Feature) -> str | list[str] | None:
    if isinstance(cell, list):
        if feature.kind not in ("categories", "embedding"):
            raise ValueError("is a list, expected one value")
        given = values.flat(cell) if feature.kind == "categories" else cell
        parts = [text for text in map(_scalar, given) if text is not None]
        return parts if feature.kind == "categories" else " ".join(parts)
    text = _scalar(cell)
    if text is None or feature.kind != "categories":
        return text
    split = values.split(text)
    if split is None:
        raise ValueError(values.OBJECTS)
    return split


def _scalar(value: Any) -> str | None:
    if value is None or value is ABSENT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return value
    raise ValueError(OBJECTS)
