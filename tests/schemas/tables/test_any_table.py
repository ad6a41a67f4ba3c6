"""Any table reads the same from every format, at any block size, packed or not, and never tells where it was cut."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.schemas import tables
from homefeed.schemas.columns import STANDARD_COLUMNS, Feature
from homefeed.schemas.dataset import DatasetError, Table
from homefeed.schemas.tables import rows as row_settings
from homefeed.schemas.tables import streams
from tests.schemas.tables.reading import FEATURES as EVENTS
from tests.schemas.tables.reading import HEADER, batches, read

FEATURES = {name: STANDARD_COLUMNS["items"][name] for name in ("item_id", "title", "categories", "available_from")}
FEATURES |= {"price": Feature(kind="number"), "vector": Feature(kind="embedding", size=2)}
TYPES = {
    "item_id": pa.string(),
    "title": pa.string(),
    "categories": pa.list_(pa.string()),
    "available_from": pa.timestamp("s"),
    "price": pa.float32(),
    "vector": pa.list_(pa.float32()),
}

# Neither control characters nor what stands for nothing; a list's parts hold no separator.
WORDS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=8)
TEXTS = WORDS.filter(lambda text: text != "\\N")
PARTS = TEXTS.filter(lambda text: "|" not in text and not text.startswith("["))
NOTHING = {"nan", "null", "nil", "none", "nat", "undefined", "-nan"}
NAMES = st.from_regex(r"[a-zA-Z0-9é商\" ,;'-]{0,6}[a-z商]", fullmatch=True)
IDS = NAMES.filter(lambda name: name.lower() not in NOTHING)
FLOATS = st.floats(-1e6, 1e6, width=32)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "item_id": IDS,
            "title": st.none() | TEXTS,
            "categories": st.none() | st.lists(PARTS, min_size=1, max_size=3),
            "available_from": st.none() | st.integers(10**8, 1_800_000_000),  # No digits of dates.
            "price": st.none() | FLOATS,
            "vector": st.none() | st.lists(FLOATS, min_size=2, max_size=2),
        }
    ),
    min_size=1,
    max_size=6,
)


def as_text(rows: list[dict[str, Any]], **dialect: Any) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", **dialect)
    writer.writerow(FEATURES)
    for row in rows:
        lists = {"categories": "|".join(row["categories"] or []), "vector": " ".join(map(repr, row["vector"] or []))}
        cells = row | lists
        writer.writerow("" if cells[name] is None else cells[name] for name in FEATURES)
    return text.getvalue().encode()


def as_json(rows: list[dict[str, Any]], leave_out: bool) -> bytes:
    kept = ({name: cell for name, cell in row.items() if not (leave_out and cell is None)} for row in rows)
    return "\n".join(json.dumps(row, ensure_ascii=leave_out) for row in kept).encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(
        pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES.items()}), sink
    )
    return sink.getvalue()


FORMATS: dict[str, tuple[tables.Format, Callable[[list[dict[str, Any]]], bytes], dict[str, Any]]] = {
    "csv": ("csv", as_text, {}),
    "csv, all in quotes": ("csv", lambda rows: as_text(rows, quoting=csv.QUOTE_ALL), {}),
    "csv of semicolons": ("csv", lambda rows: as_text(rows, delimiter=";"), {"delimiter": ";"}),
    "csv without a header": ("csv", lambda rows: as_text(rows).split(b"\n", 1)[1], {"header": tuple(FEATURES)}),
    "json lines": ("jsonl", lambda rows: as_json(rows, leave_out=False), {}),
    "json lines in ASCII, without nulls": ("jsonl", lambda rows: as_json(rows, leave_out=True), {}),
    "parquet": ("parquet", as_parquet, {}),
}


@pytest.mark.parametrize("name", FORMATS)
@given(rows=ROWS)
@settings(max_examples=12)
def test_a_table_comes_back_from(name: str, rows: list[dict[str, Any]]) -> None:
    file_format, write, described = FORMATS[name]
    found, bad, _ = read(write(rows), file_format, FEATURES, **described)
    assert not bad
    assert found == rows


# Good rows, and all that can be wrong with one, also across lines.
LINES = ["u,i,1,2", "v,j,2,", "é,商,3,4.5", "u,i,1", "u,i,1,2,3", "u,i,soon,1", ",i,1,1", "u,i,1,much", ""]
LINES += ['"a, b",i,1,2', '"two\nlines",i,1,2', '"say ""hi""",i,1,2', 'a"b,i,1,2', '"open,i,1,2', '"x"y,i,1,2']
JSON_LINES = [
    '{"user_id": "u", "item_id": "i", "timestamp": 1, "value": 2}',
    '{"user_id": "é", "item_id": 7, "timestamp": "1970-01-01T00:00:02", "value": null}',
    '{"user_id": "u", "item_id": "i"}',
    '{"user_id": "u", "item_id": "i", "timestamp": 1, "value": {"a": 1}}',
    '{"user_id": "u", "item_id": "i", "timest',
    "[1, 2]",
    "",
]


@pytest.mark.parametrize(("file_format", "start", "lines"), [("csv", HEADER, LINES), ("jsonl", "", JSON_LINES)])
@given(data=st.data(), block=st.integers(1, 90), ends=st.sampled_from(["", "\n", "\r\n"]))
@settings(max_examples=40)
def test_where_a_file_is_cut_into_blocks_makes_no_difference(
    file_format: tables.Format, start: str, lines: list[str], data: st.DataObject, block: int, ends: str
) -> None:
    chosen = data.draw(st.lists(st.sampled_from(lines), max_size=7))
    content = start + "\n".join(chosen) + (ends if chosen else "")
    whole = read(content, file_format)
    with pytest.MonkeyPatch.context() as patch:
        # The header is read with the first block.
        patch.setattr(row_settings, "BLOCK_BYTES", block + len(start))
        assert read(content, file_format) == whole


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip in members": lambda content: gzip.compress(content[:50]) + gzip.compress(content[50:]),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda content: pa.compress(content, "zstd", asbytes=True),
}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030", "utf-8-sig"])
def test_a_packed_file_in_an_encoding_reads_as_the_plain_one(
    packing: str, encoding: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "CHUNK_BYTES", 7)  # Cut inside of characters, too.
    content = HEADER + "".join(f"用户{n},商品-{n},{n + 1},{n / 2}\n" for n in range(40))
    path = tmp_path / "table.csv"
    path.write_bytes(PACKED[packing](content.encode(encoding)))
    file, table = tables.File(str(path), "csv"), Table(path="x", encoding=encoding)
    found = [row for batch in tables.read_file(file, table, EVENTS) for row in batch.rows.to_pylist()]
    assert found == read(content)[0] and len(found) == 40


@pytest.mark.parametrize("packing", ["gzip", "bzip2", "xz"])
def test_a_packed_file_that_breaks_off_is_named(packing: str, tmp_path: Any) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(PACKED[packing]((HEADER + "u,i,1,2\n" * 4000).encode())[:-20])
    with pytest.raises(DatasetError, match=rf"{path} cannot be read: "):
        list(tables.read_file(tables.File(str(path), "csv"), Table(path="x"), EVENTS))


def test_partitions_stand_for_columns_that_the_file_lacks() -> None:
    content = "user_id,timestamp,value\nu,1,2\nv,2,\n"
    (batch,) = batches(content, partitions=(("item_id", "i"), ("value", "9")))
    assert batch.rows.column(1).to_pylist() == ["i", "i"], "from the folder's name"
    assert batch.rows.column(3).to_pylist() == [2.0, None], "the file's own column stays"
    (batch,) = batches(content, partitions=(("item_id", None),))
    assert not batch.rows.num_rows and [row.reason for row in batch.bad] == ["is missing"] * 2
