import bz2
import csv
import gzip
import io
import json
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.schemas import tables
from homefeed.schemas.dataset import STANDARD_COLUMNS, DatasetError, Feature, Table
from tests.components.ingested import events, write_dataset

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


def test_ids_are_never_interpreted() -> None:
    ids = ["007", " spaced out ", "a,b", "🙂", "商品-1", 'say "hi"', "two\nlines", "1e5", "NaN", "0x10"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FEATURES)
    writer.writerows((name, name, 5, 1) for name in ids)
    rows, bad, lines = read(text.getvalue())
    assert rows == [row(name, name, 5, 1.0) for name in ids]
    assert not bad
    assert lines == [2, 3, 4, 5, 6, 7, 8, 11, 12, 13]  # The row on line 8 has an id of two lines, twice.


def test_times_in_every_unit_mixed() -> None:
    times = ["881250949", "881250949123", "881250949123456", "1997-12-04T15:55:49Z", "1997-12-04 16:55:49+01:00"]
    times += ["881250949.7", "1997-12-04T15:55:49", "-1", "1997-12-04"]
    rows, bad, _ = read(HEADER + "".join(f"u,i,{time},\n" for time in times))
    assert [found["timestamp"] for found in rows] == [881250949] * 7 + [-1, 881193600]
    assert not bad


@pytest.mark.parametrize("time", ["soon", "1e30", "nan", "inf", "0x10", "1997-13-04", "1_000", "12:30"])
def test_what_is_not_a_time(time: str) -> None:
    rows, bad, _ = read(HEADER + f"u,i,{time},\nu,i,7,\n")
    assert rows == [row("u", "i", 7, None)]
    assert bad == [(2, "timestamp", "is not a time in Unix seconds or ISO 8601", f"u,i,{time},")]


def test_numbers() -> None:
    good = {"2.5": 2.5, "1e3": 1000, "": None, "nan": None, "NaN": None, " 4 ": 4, "-0.5": -0.5, "+1": 1}
    rows, bad, _ = read(HEADER + "".join(f"u,i,1,{number}\n" for number in good))
    assert [found["value"] for found in rows] == list(good.values())
    assert not bad
    _, bad, _ = read(HEADER + "".join(f"u,i,1,{number}\n" for number in ("inf", "-Infinity", "1e39", "x", "1_0")))
    assert [(line, column) for line, column, _, _ in bad] == [(line, "value") for line in range(2, 7)]
    assert {reason for _, _, reason, _ in bad[:2]} | {bad[3][2]} == {"is not a finite number"}


def test_domains_and_bounds() -> None:
    features = {
        "item_id": Feature(kind="id", required=True),
        "size": Feature(kind="category", domain=("S", "M")),
        "tags": Feature(kind="categories", domain=("new", "hot")),
        "price": Feature(kind="number", min=0, max=10),
        "vector": Feature(kind="embedding", size=2),
    }
    text = "item_id,size,tags,price,vector\n"
    text += "a,S,new|hot,10,0.5 1\nb,,,,\nc,L,,,\nd,,new|old,,\ne,,,11,\nf,,,,1 2 3\n"
    text += 'g,,|new|,,"[1, 2]"\nh,,,,1 x\n'
    rows, bad, _ = read(text, features=features)
    assert rows == [
        {"item_id": "a", "size": "S", "tags": ["new", "hot"], "price": 10.0, "vector": [0.5, 1.0]},
        {"item_id": "b", "size": None, "tags": None, "price": None, "vector": None},
        {"item_id": "g", "size": None, "tags": ["new"], "price": None, "vector": [1.0, 2.0]},
    ]
    assert [(column, reason) for _, column, reason, _ in bad] == [
        ("size", "is not one of S, M"),
        ("tags", "is not all of new, hot"),
        ("price", "is outside [0, 10]"),
        ("vector", "has 3 values, expected 2"),
        ("vector", "holds something that is not a finite number"),
    ]


def test_bad_lines_of_csv() -> None:
    text = HEADER.encode() + b"u,i,1,2\nu,i,1\n\nu,\xff\xe9,1,2\nu,i,1,2,3\nu,'i,1,2\r\n\"u,i,1,2\nv,j,3,4"
    rows, bad, lines = read(text)
    assert rows == [row("u", "i", 1, 2.0), row("u", "'i", 1, 2.0), row("v", "j", 3, 4.0)]
    assert lines == [2, 7, 9]
    assert bad == [
        (3, None, "expected 4 values, found 3", "u,i,1"),
        (5, None, "not valid UTF-8", "u,\\xff\\xe9,1,2"),
        (6, None, "expected 4 values, found 5", "u,i,1,2,3"),
        (8, None, "not valid CSV: unexpected end of data", '"u,i,1,2'),
    ]


def test_bad_lines_of_json() -> None:
    good = {"user_id": 1, "item_id": "é", "timestamp": 2.5, "value": None, "more": {}}
    bad_lines = ["[]", '{"user_id": ["a"], "item_id": "b", "timestamp": 1}', "{", '{"item_id": "b", "timestamp": 1}']
    bad_lines += ['{"user_id": "\\ud800", "item_id": "b", "timestamp": 1}', '{"user_id": {}}']
    rows, bad, _ = read("\n".join([json.dumps(good), *bad_lines, "", json.dumps(good)]), "jsonl")
    assert rows == [row("1", "é", 2, None)] * 2
    assert [(line, reason.partition(":")[0], raw) for line, _, reason, raw in bad] == [
        (2, "expected a JSON object, found list", "[]"),
        (3, "user_id is a list, expected one value", bad_lines[1]),
        (4, "not valid JSON", "{"),
        (5, "is missing", bad_lines[3]),
        (6, "user_id holds something else than valid text and numbers", bad_lines[4]),
        (7, "user_id holds something else than valid text and numbers", bad_lines[5]),
    ]


ITEM_FEATURES = STANDARD_COLUMNS["items"] | {"vector": Feature(kind="embedding", size=2)}
ITEMS = [
    {"item_id": "1", "title": "Tea, green", "categories": ["a", "b"], "vector": [0.5, 1.0], "available_from": 60},
    {"item_id": "2", "title": "茶", "categories": None, "vector": None, "available_from": None},
]


def as_csv(separator: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator)
    writer.writerow(ITEMS[0])
    for item in ITEMS:
        cells = {"categories": "|".join(item["categories"] or []), "vector": " ".join(map(str, item["vector"] or []))}  # type: ignore[arg-type,call-overload]
        writer.writerow([(item | cells)[name] for name in ITEMS[0]])
    return text.getvalue().encode()


def as_parquet() -> bytes:
    sink = io.BytesIO()
    columns = {name: [item[name] for item in ITEMS] for name in ITEMS[0]}
    columns["available_from"] = np.array([60, "NaT"], "datetime64[s]")  # type: ignore[assignment]
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def as_json() -> bytes:
    return "\n".join(json.dumps(item, ensure_ascii=False) for item in ITEMS).encode()


@pytest.mark.parametrize(
    ("file_format", "content"),
    [("csv", as_csv(",")), ("tsv", as_csv("\t")), ("jsonl", as_json()), ("parquet", as_parquet())],
)
def test_every_format_reads_the_same(file_format: tables.Format, content: bytes) -> None:
    rows, bad, _ = read(content, file_format, ITEM_FEATURES)
    assert rows == [dict.fromkeys(ITEM_FEATURES) | item for item in ITEMS]
    assert not bad


def test_parquet_of_other_types() -> None:
    table = pa.table(
        {
            "user_id": pa.array([1, 2, None]),
            "item_id": pa.array([b"a", b"\xff", b"c"]),
            "timestamp": pa.array([10, 20, 30], pa.timestamp("ms", tz="Europe/Paris")).cast(
                pa.timestamp("us", "UTC")
            ),
            "value": pa.array(["1", "2", "3"]).dictionary_encode(),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    rows, bad, _ = read(sink.getvalue(), "parquet")
    assert rows == [row("1", "a", 0, 1.0)]
    assert [(line, column, reason) for line, column, reason, _ in bad] == [
        (2, None, "not valid UTF-8"),
        (3, "user_id", "is missing"),
    ]


def test_columns_have_other_names() -> None:
    rows, bad, _ = read(
        "who,what,when\nu,i,1\n,i,1\n", columns={"user_id": "who", "item_id": "what", "timestamp": "when"}
    )
    assert rows == [row("u", "i", 1, None)]
    assert bad == [(3, "who", "is missing", ",i,1")]


def test_byte_order_mark_and_carriage_returns() -> None:
    rows, _, lines = read(b"\xef\xbb\xbf" + HEADER.replace("\n", "\r\n").encode() + b"u,i,1,2\r\nv,j,3,4\r\n")
    assert rows == [row("u", "i", 1, 2.0), row("v", "j", 3, 4.0)]
    assert lines == [2, 3]


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=6)
MANGLED = st.sampled_from(["a", "a,b,c,d,e", '"never closed,1,2,3', 'x"y"z', "a,b,soon,1", ",b,1,2", "a,b,1,\udcff"])


@st.composite
def mangled_tables(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, str]], int]:
    """A CSV file, its good rows, and how many bad ones it has."""
    text, good, num_bad = io.StringIO(newline=""), [], 0
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FEATURES)
    for _ in range(draw(st.integers(0, 12))):
        if draw(st.booleans()):
            # A quoted value that begins with one of these would close a quote left open above it.
            user, item = draw(CELL).lstrip(",\n") or "u", draw(CELL).lstrip(",\n") or "i"
            writer.writerow((user, item, 5, 1))
            good.append((user, item))
        else:
            text.write(draw(MANGLED) + "\n")
            num_bad += 1
    return text.getvalue().encode("utf-8", "surrogateescape"), good, num_bad


@settings(max_examples=200, deadline=None)
@given(mangled_tables(), st.sampled_from([7, 64, 1 << 20]))
def test_no_row_is_lost(table: tuple[bytes, list[tuple[str, str]], int], block_bytes: int) -> None:
    content, good, num_bad = table
    with pytest.MonkeyPatch.context() as patch:
        if block_bytes > len(HEADER):  # The header is expected within the first block.
            patch.setattr(tables, "BLOCK_BYTES", block_bytes)
        rows, bad, _ = read(content)
    assert [(found["user_id"], found["item_id"]) for found in rows] == good
    assert len(bad) == num_bad


LINES = ["a,b,1,2", "a,b,1", "é,b,soon,2", "a,b,1,2,3", "a,b,2,", '"a, or\nb","",1,2', '"say ""é""\n\n",b,1,"2"']
LINES += ['"a"', 'a"b",c,1,2', '"a"b,c,1,2', '"open,b,1,2']


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(LINES),
        max_size=8,
    ),
    st.booleans(),
)
def test_the_quick_way_and_the_careful_way_agree(lines: list[str], ends: bool) -> None:
    content = HEADER + "\n".join(lines) + ("\n" if ends and lines else "")
    quick = read(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_find_rows", lambda *arguments: None)
        assert read(content) == quick


def test_well_formed_quotes_take_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_parse_lines", None)
    content = HEADER + '"a, or\nb","say ""é""",1,2\r\n"","",1\n"一\n\n二",b,3,\n'
    rows, bad, lines = read(content)
    assert [(row["user_id"], row["item_id"]) for row in rows] == [("a, or\nb", 'say "é"'), ("一\n\n二", "b")]
    assert bad == [(4, None, "expected 4 values, found 3", '"","",1')]
    assert lines == [2, 5]


def test_a_quote_that_is_never_closed_holds_up_no_more_than_a_row_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BLOCK_BYTES", 100)
    monkeypatch.setattr(tables, "MAX_ROW_BYTES", 300)
    longest = 0
    parse = tables._parse_lines

    def watched(block: bytes, *arguments: object) -> object:
        nonlocal longest
        longest = max(longest, len(block))
        return parse(block, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tables, "_parse_lines", watched)
    rows, bad, _ = read(HEADER + '"open,b,1,2\n' + "a,b,1,2\n" * 1000)
    assert (len(rows), [line for line, *_ in bad]) == (1000, [2])
    assert 300 < longest <= 500


def test_formats_and_compression_by_name() -> None:
    table = Table(path="x")
    assert tables.format_of("a/b.csv.gz", table) == "csv"
    assert tables.format_of("b.part-1.NDJSON", table) == "jsonl"
    assert tables.format_of("b", Table(path="b", format="tsv")) == "tsv"
    with pytest.raises(DatasetError, match=r"cannot be told from its name. Name it with one of .csv"):
        tables.format_of("b.data.zst", table)


def test_local_files(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path, events([("u", "A", 1)]))
    assert [file.name for file in tables.local_files(data)] == ["interactions.csv", "items.csv", "users.csv"]
    (tmp_path / "items.csv").unlink()
    with pytest.raises(DatasetError, match=r"Table 'items': no file at .*items.csv"):
        tables.local_files(data)


def test_compressed_files_are_read_through_beam(tmp_path: pathlib.Path) -> None:
    from apache_beam.io.filesystems import FileSystems

    for name, packed in (("a.csv.gz", gzip.compress(as_csv(","))), ("a.csv.bz2", bz2.compress(as_csv(",")))):
        (tmp_path / name).write_bytes(packed)
        with FileSystems.open(str(tmp_path / name)) as stream:
            assert tables.column_names(stream, "csv") == list(ITEMS[0])
