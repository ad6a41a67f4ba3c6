import csv
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homefeed.schemas import tables
from homefeed.schemas.dataset import STANDARD_COLUMNS, Feature
from tests.schemas.tables.reading import HEADER, read, row


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


def test_columns_have_other_names() -> None:
    rows, bad, _ = read(
        "who,what,when\nu,i,1\n,i,1\n", columns={"user_id": "who", "item_id": "what", "timestamp": "when"}
    )
    assert rows == [row("u", "i", 1, None)]
    assert bad == [(3, "who", "is missing", ",i,1")]
