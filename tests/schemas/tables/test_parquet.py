"""Parquet's types and shapes. The right values are what pandas shows of the same columns."""

import datetime
import decimal
import io
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homefeed.schemas.columns import Feature
from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.tables import File, parquet
from homefeed.schemas.tables.rows import NOT_UTF_8
from tests.schemas.tables.reading import lost, read, row

ID = Feature(kind="id", required=True)


def written(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def names(content: bytes, **features: Feature) -> list[str]:
    return parquet.column_names(io.BytesIO(content), File("x.parquet", "parquet"), features)


def test_parquet_of_other_types() -> None:
    content = written(
        user_id=pa.array([1, 2, None]),
        item_id=pa.array([b"a", b"\xff", b"c"]),
        timestamp=pa.array([10, 20, 30], pa.timestamp("ms", tz="Europe/Paris")).cast(pa.timestamp("us", "UTC")),
        value=pa.array(["1", "2", "3"]).dictionary_encode(),
    )
    rows, bad, _ = read(content, "parquet")
    assert rows == [row("1", "a", 0, 1.0)]
    assert [(line, column, reason) for line, column, reason, _ in bad] == [
        (2, "item_id", NOT_UTF_8),
        (3, "user_id", "is missing"),
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1.0, None, float("nan"), 2.0]), ["1", None, None, "2"]),  # Integers, where pandas had a gap.
        (pa.array([b"a", None, "é".encode(), b"b"]), ["a", None, "é", "b"]),
        (pa.array(["a", None, "nan", "b"], pa.large_string()), ["a", None, None, "b"]),
        (pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("2.25"), None]), ["1.50", None, "2.25", None]),
        (pa.array([2**63, None, 7, 8], pa.uint64()), [str(2**63), None, "7", "8"]),
        (pa.array([None] * 4), [None] * 4),
        (pa.array([True, None, False, True]), ["true", None, "false", "true"]),
    ],
)
def test_ids_of_every_type(values: pa.Array, expected: list[str | None]) -> None:
    rows, bad, _ = read(written(item_id=values), "parquet", {"item_id": ID})
    assert [found["item_id"] for found in rows] == [value for value in expected if value is not None]
    assert len(bad) == expected.count(None)


def test_ids_that_became_floats_keep_their_digits_or_are_refused() -> None:
    values = pa.array([1e15, None, 2.0**53 - 1, 2.0**53, float("inf"), -3.0])
    rows, bad, _ = read(written(item_id=values), "parquet", {"item_id": ID})
    assert [found["item_id"] for found in rows] == ["1000000000000000", "9007199254740991", "-3"]
    lost_digits = [(line, reason) for line, _, reason, _ in bad]
    assert lost_digits == [(2, "is missing"), (4, parquet.LOST_DIGITS), (5, parquet.LOST_DIGITS)]
    rows, bad, _ = read(written(item_id=pa.array([2.0**24 - 1, 2.0**24], pa.float32())), "parquet", {"item_id": ID})
    assert [found["item_id"] for found in rows] == ["16777215"] and len(bad) == 1
    assert read(written(item_id=pa.array([0.5, 2.0])), "parquet", {"item_id": ID})[0][0] == {"item_id": "0.5"}


def test_a_column_that_is_there_twice_is_told_by_its_schema() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, ["item_id", "item_id"]), sink)
    assert names(sink.getvalue(), item_id=ID) == ["item_id", "item_id"]


def test_times_of_every_type() -> None:
    moments = [datetime.datetime(1969, 12, 31, 23, 59, 58, 500_000), datetime.datetime(2024, 1, 31, 12)]
    expected = [-2, 1_706_702_400]  # Rounded down.
    for unit in ("ms", "us"):
        content = written(at=pa.array([*moments, None], pa.timestamp(unit)))
        assert [found["at"] for found in read(content, "parquet", {"at": Feature(kind="timestamp")})[0]] == [
            *expected,
            None,
        ]
    far = written(at=pa.array([datetime.date(9999, 12, 31), datetime.date(1, 1, 1)]))
    assert [found["at"] for found in read(far, "parquet", {"at": Feature(kind="timestamp")})[0]] == [
        253_402_214_400,
        -62_135_596_800,
    ]
    numbers = written(at=pa.array([1.7e12, None, 1.7e12 + 1]))
    assert [found["at"] for found in read(numbers, "parquet", {"at": Feature(kind="timestamp")})[0]] == [
        1_700_000_000,
        None,
        1_700_000_000,
    ]
    text = written(at=pa.array(moments, pa.timestamp("ms")))
    assert read(text, "parquet", {"at": Feature(kind="category")})[0][1] == {"at": "2024-01-31 12:00:00.000"}
    seconds = written(dwell=pa.array([datetime.timedelta(milliseconds=1500), None]))
    assert [found["dwell"] for found in read(seconds, "parquet", {"dwell": Feature(kind="number")})[0]] == [1.5, None]


def test_times_of_day_are_no_times() -> None:
    content = written(at=pa.array([datetime.time(12, 30)], pa.time32("ms")))
    with pytest.raises(DatasetError, match=r"x.parquet: the column at holds times of day \(time32\[ms\]\) without"):
        names(content, at=Feature(kind="timestamp"))


def test_structs_and_lists_of_them() -> None:
    genres = [[{"id": 1, "name": "Drama"}, {"id": 2, "name": "War"}], None, []]
    content = written(user=pa.array([{"id": 7, "at": {"city": "Rome"}}, None, {"id": 8, "at": None}]), genres=genres)
    columns = {"user_id": "user.id", "city": "user.at.city", "tags": "genres.name"}
    features = {"user_id": Feature(kind="id"), "city": Feature(kind="text"), "tags": Feature(kind="categories")}
    rows, _, _ = read(content, "parquet", features, columns=columns)
    assert rows == [
        {"user_id": "7", "city": "Rome", "tags": ["Drama", "War"]},
        {"user_id": None, "city": None, "tags": None},
        {"user_id": "8", "city": None, "tags": None},
    ]
    # As pandas calls the fields of nested values.
    flat = pd.json_normalize(pq.read_table(io.BytesIO(content)).slice(0, 1).to_pylist())
    assert {"user.id", "user.at.city"} <= set(flat.columns)
    found = names(content, **{"user.id": ID, "user.at.city": ID, "genres.name": features["tags"], "user.no": ID})
    assert found == ["user", "genres", "user.id", "user.at.city", "genres.name"]
    with pytest.raises(
        DatasetError, match=r"the column genres holds structs; name one of .*: genres.name, genres.id\."
    ):
        names(content, genres=Feature(kind="categories"))


def test_lists_of_every_shape() -> None:
    for kind in (pa.list_(pa.string()), pa.large_list(pa.string()), pa.list_(pa.dictionary(pa.int32(), pa.string()))):
        values = pa.array([["a", "b"], [], None], pa.large_list(pa.string()))
        tags = pa.ListArray.from_arrays([0, 2, 2, 2], pa.array(["a", "b"]).dictionary_encode())
        content = written(tags=tags if "dictionary" in str(kind) else values.cast(kind))
        rows, _, _ = read(content, "parquet", {"tags": Feature(kind="categories")})
        assert [found["tags"] for found in rows] == [["a", "b"], None, None]
    vectors = np.arange(6, dtype=np.float32)
    content = written(vector=pa.FixedSizeListArray.from_arrays(pa.array(vectors), 2))
    rows, _, _ = read(content, "parquet", {"vector": Feature(kind="embedding", size=2)})
    assert [found["vector"] for found in rows] == [[0, 1], [2, 3], [4, 5]]
    content = written(vector=pa.array([[0.5, 1], [1.0], [None, 2.0], None]))
    features = {"vector": Feature(kind="embedding", size=2)}
    assert [found["vector"] for found in read(content, "parquet", features)[0]] == [[0.5, 1], None, None, None]
    assert [(line, reason) for line, _, _, reason in lost(content, "parquet", features)] == [
        (2, "has 1 values, expected 2"),
        (3, "holds something that is not a finite number"),
    ]
    bad_bytes = written(tags=pa.array([[b"a"], [b"\xff", b"b"]]))
    assert lost(bad_bytes, "parquet", {"tags": Feature(kind="categories")}) == [(2, "tags", "\\xff", NOT_UTF_8)]


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (pa.array([[["a"]]]), "categories", r"holds list<.*list<.*>; expected one value, or a list of them"),
        (
            pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int32())),
            "categories",
            r"holds map<.*>; expected one value",
        ),
        (pa.array([["a"]]), "text", r"holds list<.*>, expected one value of kind text; declare it as `categories`"),
    ],
)
def test_shapes_that_are_refused(values: pa.Array, kind: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        names(written(column=values), column=Feature(kind=kind))


def test_files_that_are_broken() -> None:
    content = written(item_id=pa.array(["a"] * 1000))
    with pytest.raises(DatasetError, match=r"x.parquet cannot be read as Parquet: "):
        names(content[:-8] + b"\0" * 8)
    with pytest.raises(DatasetError, match=r"x cannot be read as Parquet: "):
        read(content[:4] + b"\xff" * 40 + content[44:], "parquet", {"item_id": ID})
