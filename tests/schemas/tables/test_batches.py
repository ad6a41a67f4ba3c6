import csv
import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homefeed.schemas import tables
from homefeed.schemas.columns import STANDARD_COLUMNS, Feature
from tests.schemas.tables.reading import FEATURES, HEADER, lost, read, row


def test_a_unit_for_the_whole_column() -> None:
    rows, bad, _ = read(
        HEADER + "u,i,1700000000123,\nu,i,2023-11-14T22:13:20Z,\nu,i,1700000000,\nu,i,,\nu,i,1700000000000,\n"
    )
    assert [found["timestamp"] for found in rows] == [1_700_000_000] * 3
    assert [(line, reason) for line, _, reason, _ in bad] == [
        (4, "is not in milliseconds since 1970, as the column's times are (`unit` in dataset.yaml says otherwise)"),
        (5, "is missing"),
    ]
    declared = FEATURES | {"timestamp": Feature(kind="timestamp", required=True, unit="ms")}
    assert read(HEADER + "u,i,1700000000,\n", features=declared)[0] == [row("u", "i", 1_700_000, None)]


@pytest.mark.parametrize("time", ["soon", "1e30", "inf", "0x10", "1997-13-04", "1_000", "12:30"])
def test_what_is_not_a_time(time: str) -> None:
    rows, bad, _ = read(HEADER + f"u,i,{time},\nu,i,7,\n")
    assert rows == [row("u", "i", 7, None)]
    assert bad == [(2, "timestamp", "is not a time in Unix seconds or ISO 8601", f"u,i,{time},")]


@pytest.mark.parametrize("word", ["", " ", "nan", "NaN", "None", "null", "NULL", "<NA>", "NaT", "undefined", "\\N"])
def test_words_for_nothing_are_no_ids_times_or_numbers(word: str) -> None:
    rows, bad, _ = read(HEADER + f"{word},i,1,2\nu,{word},1,2\nu,i,{word},2\nu,i,1,{word}\n")
    assert rows == [row("u", "i", 1, None)]
    assert [(column, reason) for _, column, reason, _ in bad] == [
        (column, "is missing") for column in ("user_id", "item_id", "timestamp")
    ]
    features = {"item_id": FEATURES["item_id"], "title": Feature(kind="text"), "brand": Feature(kind="category")}
    rows, bad, _ = read("item_id,title,brand\nnan-1,None,null\nNancy,\\N,\n", features=features)
    assert not bad and rows == [
        {"item_id": "nan-1", "title": "None", "brand": "null"},  # A film may be called so.
        {"item_id": "Nancy", "title": None, "brand": None},
    ]


def test_numbers() -> None:
    good = {"2.5": 2.5, "1e3": 1000, "": None, "nan": None, "NaN": None, " 4 ": 4, "-0.5": -0.5, "+1": 1}
    rows, bad, _ = read(HEADER + "".join(f"u,i,1,{number}\n" for number in good))
    assert [found["value"] for found in rows] == list(good.values())
    assert not bad
    wrong = ["inf", "-Infinity", "1e39", "x", "1_0", "4,5", "12 €"]
    content = HEADER + "".join(f'u,i,1,"{number}"\n' for number in wrong)
    rows, bad, _ = read(content)
    assert rows == [row("u", "i", 1, None)] * 7 and not bad
    found = lost(content)
    assert [(line, column, value) for line, column, value, _ in found] == [
        (line, "value", value) for line, value in enumerate(wrong, 2)
    ]
    assert {reason for *_, reason in found[:2] + found[3:]} == {"is not a finite number"}


def test_one_bad_value_costs_the_row_only_where_it_must_be_there() -> None:
    features = {
        "item_id": Feature(kind="id", required=True),
        "price": Feature(kind="number", min=0),
        "sku": Feature(kind="number", required=True),
    }
    content = "item_id,price,sku\na,cheap,1\nb,-1,2\nc,3,none\nd,x,y\n"
    rows, bad, _ = read(content, features=features)
    assert rows == [
        {"item_id": "a", "price": None, "sku": 1.0},
        {"item_id": "b", "price": None, "sku": 2.0},
    ]
    assert [(line, column, reason) for line, column, reason, _ in bad] == [
        (4, "sku", "is missing"),
        (5, "sku", "is not a finite number"),
    ]
    assert [(line, value, reason) for line, _, value, reason in lost(content, features=features)] == [
        (2, "cheap", "is not a finite number"),
        (3, "-1", "is outside [0, 3.40282e+38]"),
    ]  # The price of d went with the row.


def test_lists_as_text() -> None:
    features = {"item_id": Feature(kind="id", required=True), "tags": Feature(kind="categories")}
    cells = ["a|b", '["a", "b"]', "['a', 'b']", "[1, 2]", "[]", "[a]", "a|", "[[1], [2, 3]]", "[{'id': 1}]"]
    sink = io.StringIO()
    csv.writer(sink).writerows([["item_id", "tags"], *([str(n), cell] for n, cell in enumerate(cells))])
    rows, _, _ = read(sink.getvalue(), features=features)
    assert [found["tags"] for found in rows] == [
        ["a", "b"], ["a", "b"], ["a", "b"], ["1", "2"], None, ["[a]"], ["a"], ["1", "2", "3"], None,
    ]  # fmt: skip
    assert [(line, value) for line, _, value, _ in lost(sink.getvalue(), features=features)] == [(10, cells[8])]


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
    nothing = dict.fromkeys(features)
    assert not bad and rows == [
        {"item_id": "a", "size": "S", "tags": ["new", "hot"], "price": 10.0, "vector": [0.5, 1.0]},
        *(nothing | {"item_id": name} for name in "bcdef"),
        {"item_id": "g", "size": None, "tags": ["new"], "price": None, "vector": [1.0, 2.0]},
        nothing | {"item_id": "h"},
    ]
    assert [(line, column, reason) for line, column, _, reason in lost(text, features=features)] == [
        (4, "size", "is not one of S, M"),
        (5, "tags", "is not all of new, hot"),
        (6, "price", "is outside [0, 10]"),
        (7, "vector", "has 3 values, expected 2"),
        (9, "vector", "holds something that is not a finite number"),
    ]


ITEM_FEATURES = STANDARD_COLUMNS["items"] | {"vector": Feature(kind="embedding", size=2)}
ITEMS: list[dict[str, Any]] = [
    {"item_id": "1", "title": "Tea, green", "categories": ["a", "b"], "vector": [0.5, 1.0], "available_from": 60},
    {"item_id": "2", "title": "茶", "categories": None, "vector": None, "available_from": None},
]


def as_csv(separator: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator)
    writer.writerow(ITEMS[0])
    for item in ITEMS:
        cells = {"categories": "|".join(item["categories"] or []), "vector": " ".join(map(str, item["vector"] or []))}
        writer.writerow([(item | cells)[name] for name in ITEMS[0]])
    return text.getvalue().encode()


def as_parquet() -> bytes:
    sink = io.BytesIO()
    columns = {name: [item[name] for item in ITEMS] for name in ITEMS[0]}
    columns["available_from"] = np.array([60, "NaT"], "datetime64[s]")
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


def test_columns_have_other_names() -> None:
    rows, bad, _ = read(
        "who,what,when\nu,i,1\n,i,1\n", columns={"user_id": "who", "item_id": "what", "timestamp": "when"}
    )
    assert rows == [row("u", "i", 1, None)]
    assert bad == [(3, "who", "is missing", ",i,1")]
