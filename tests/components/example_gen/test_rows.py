import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.components.example_gen import rows


def table(**columns: list[object]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


def test_the_last_row_of_each_key_stays_in_its_place() -> None:
    given_rows = table(item_id=["A", "B", "A", "C", "B"], n=[1, 2, 3, 4, 5])
    assert rows.last_of_each(given_rows, "item_id").to_pydict() == {"item_id": ["A", "C", "B"], "n": [3, 4, 5]}
    assert rows.last_of_each(given_rows.slice(0, 0), "item_id").num_rows == 0


@given(st.lists(st.sampled_from("abcdef")))
def test_last_of_each_is_what_a_dict_would_keep(keys: list[str]) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(keys, pa.string()), pa.array(range(len(keys)))], ["k", "n"])
    kept = rows.last_of_each(batch, "k").to_pydict()
    last = {key: place for place, key in enumerate(keys)}
    assert dict(zip(kept["k"], kept["n"], strict=True)) == last and kept["n"] == sorted(last.values())


def test_every_column_becomes_lists_of_what_examples_know() -> None:
    schema = pa.schema(
        [
            ("title", pa.string()),
            ("price", pa.float32()),
            ("time", pa.int64()),
            ("categories", pa.list_(pa.string())),
            ("image", pa.list_(pa.float32())),
        ]
    )
    batch = pa.RecordBatch.from_pylist(
        [
            {"title": "茶", "price": None, "time": 1, "categories": ["a", "b"], "image": [1.0, 2.0]},
            {"title": None, "price": 0.5, "time": None, "categories": None, "image": []},
        ],
        schema,
    )
    listed = rows.list_rows(batch)
    assert listed.to_pydict() == {
        "title": [["茶".encode()], []],
        "price": [[], [0.5]],
        "time": [[1], []],
        "categories": [[b"a", b"b"], None],
        "image": [[1.0, 2.0], []],
    }
    assert all(pa.types.is_list(column.type) for column in listed.columns)


def test_rows_are_taken_in_any_order() -> None:
    taken = rows.take(table(a=["x", "y", "z"], b=[1, 2, 3]), np.array([2, 0, 2]))
    assert taken.to_pydict() == {"a": ["z", "x", "z"], "b": [3, 1, 3]}


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["a", None, ""]), [b"a", b"", b""]),
        (pa.array([1, None], pa.int64()), [1, 0]),
        (pa.array([1.5, None], pa.float32()), [1.5, pytest.approx(np.nan, nan_ok=True)]),
    ],
    ids=["text", "integer", "number"],
)
def test_a_missing_value_inside_a_list_has_a_stand_in(column: pa.Array, expected: list[object]) -> None:
    assert rows.no_nulls(column).to_pylist() == expected


def test_joined_batches_are_one_even_if_there_are_none() -> None:
    parts = [table(a=["x"], b=[1]), table(a=["y", "z"], b=[2, 3])]
    joined = rows.join_batches(parts, parts[0].schema)
    assert joined.to_pydict() == {"a": ["x", "y", "z"], "b": [1, 2, 3]}
    nothing = rows.join_batches([], parts[0].schema)
    assert nothing.num_rows == 0 and nothing.schema == parts[0].schema
    assert rows.join_batches([parts[0].slice(0, 0)], parts[0].schema).num_rows == 0
