import gzip
import itertools
import pathlib

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import Examples
from tests.components.ragged import numbers, strings


def three_rows() -> pa.RecordBatch:
    return example_io.record_batch(
        {
            "item_id": strings(["A", "B"], [], ["茶"]),
            "value": numbers(np.float32, [0.5, np.nan], [], [-1]),
            "timestamp": numbers(np.int64, [1, 2], [], [2**40]),
        }
    )


def test_what_is_written_is_read_again(tmp_path: pathlib.Path) -> None:
    examples = Examples(tmp_path)
    example_io.write_split(examples, "train", three_rows())
    again = example_io.read_split(examples, "train").to_pydict()
    assert again["item_id"] == [[b"A", b"B"], [], ["茶".encode()]]
    assert again["timestamp"] == [[1, 2], [], [2**40]]
    assert again["value"][0][0] == 0.5 and np.isnan(again["value"][0][1]) and again["value"][2] == [-1]


def test_records_are_examples_with_the_features_in_the_columns_order() -> None:
    first, second, third = map(tf.train.Example.FromString, example_io.serialize(three_rows()))
    assert list(first.features.feature["item_id"].bytes_list.value) == [b"A", b"B"]
    assert list(third.features.feature["timestamp"].int64_list.value) == [2**40]
    assert not second.features.feature["value"].float_list.value
    # As bytes: the names in this order, in every row.
    for record in example_io.serialize(three_rows()):
        places = [record.find(name) for name in (b"item_id", b"value", b"timestamp")]
        assert places == sorted(places)


def test_equal_batches_give_equal_bytes_in_shards_of_their_own(tmp_path: pathlib.Path) -> None:
    for name in ("one", "other"):
        for shard in range(2):
            example_io.write_split(Examples(tmp_path / name), "all", three_rows(), shard, 2)
    files = [Examples(tmp_path / name).split_files("all") for name in ("one", "other")]
    assert [file.name for file in files[0]] == ["data-00000-of-00002.gz", "data-00001-of-00002.gz"]
    assert [gzip.decompress(file.read_bytes()) for file in files[0]] == [
        gzip.decompress(file.read_bytes()) for file in files[1]
    ]
    assert example_io.read_split(Examples(tmp_path / "one"), "all").num_rows == 6


def test_no_rows_are_no_records(tmp_path: pathlib.Path) -> None:
    assert list(example_io.serialize(three_rows().slice(0, 0))) == []
    example_io.write_split(Examples(tmp_path), "eval", three_rows().slice(0, 0))
    assert example_io.read_split(Examples(tmp_path), "eval").num_rows == 0


@pytest.mark.parametrize("batch_size", [1, 2, 10])
def test_a_shard_is_read_some_at_a_time(batch_size: int, tmp_path: pathlib.Path) -> None:
    example_io.write_split(Examples(tmp_path), "all", three_rows())
    (file,) = Examples(tmp_path).split_files("all")
    batches = list(example_io.read_batches(file, batch_size))
    sizes = {1: [1, 1, 1], 2: [2, 1], 10: [3]}
    assert [batch.num_rows for batch in batches] == sizes[batch_size]
    ids = itertools.chain.from_iterable(batch["item_id"].to_pylist() for batch in batches[::2])
    assert next(ids) == [b"A", b"B"]


def test_how_rows_are_parted_changes_no_bytes(tmp_path: pathlib.Path) -> None:
    example_io.write_split(Examples(tmp_path / "whole"), "all", three_rows())
    parts = (three_rows().slice(start, length) for start, length in ((0, 1), (1, 0), (1, 2)))
    example_io.write_batches(Examples(tmp_path / "parts"), "all", parts)
    (whole,), (parted,) = (Examples(tmp_path / name).split_files("all") for name in ("whole", "parts"))
    assert whole.read_bytes() == parted.read_bytes()


@pytest.mark.parametrize("at_once", [1, 2, 10])
def test_columns_of_many_shards(at_once: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example_io, "READ_AT_ONCE", at_once)
    examples = Examples(tmp_path)
    example_io.write_split(examples, "all", three_rows(), 0, 2)
    more = {"item_id": strings(["茶", "C"]), "price": numbers(np.float32, [9.5])}
    example_io.write_split(examples, "all", example_io.record_batch(more), 1, 2)
    columns = example_io.join_columns(example_io.read_parts(examples, "all"))
    found = {name: (values.tolist(), row_splits.tolist()) for name, (values, row_splits) in columns.items()}
    assert found.pop("value")[1] == [0, 2, 2, 3, 3]
    assert found == {
        "item_id": ([b"A", b"B", "茶".encode(), "茶".encode(), b"C"], [0, 2, 2, 3, 5]),
        "timestamp": ([1, 2, 2**40], [0, 2, 2, 3, 3]),
        "price": ([9.5], [0, 0, 0, 0, 1]),
    }
    assert example_io.join_columns([]) == {}


def test_a_column_is_flat_values_and_row_splits() -> None:
    values, row_splits = example_io.ragged(three_rows(), "item_id")
    assert values.tolist() == [b"A", b"B", "茶".encode()] and row_splits.tolist() == [0, 2, 2, 3]
    assert example_io.ragged(three_rows(), "nothing") is None
    nulls = pa.RecordBatch.from_arrays([pa.nulls(3)], ["empty"])
    assert example_io.ragged(nulls, "empty") is None
    with_null = pa.RecordBatch.from_arrays([pa.array([[1], None, [2, 3]])], ["a"])
    values, row_splits = example_io.ragged(with_null, "a")
    assert (values.tolist(), row_splits.tolist()) == ([1, 2, 3], [0, 1, 1, 3])


def test_the_first_value_of_each_row() -> None:
    assert example_io.single(three_rows(), "item_id", b"?").tolist() == [b"A", b"?", "茶".encode()]
    times = example_io.single(three_rows(), "timestamp", -1)
    assert times.tolist() == [1, -1, 2**40] and times.dtype == np.int64
    assert example_io.single(three_rows(), "nothing", b"?").tolist() == [b"?"] * 3
    assert example_io.single(three_rows(), "nothing", 0).dtype == np.int64


def test_rows_of_one_length() -> None:
    values, row_splits = example_io.rectangular(np.arange(6).reshape(3, 2))
    assert (values.tolist(), row_splits.tolist()) == ([0, 1, 2, 3, 4, 5], [0, 2, 4, 6])
    values, row_splits = example_io.rectangular(np.array([7, 8]))
    assert (values.tolist(), row_splits.tolist()) == ([7, 8], [0, 1, 2])
    _, row_splits = example_io.rectangular(np.empty((0, 3)))
    assert row_splits.tolist() == [0]


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4), max_size=6))
def test_ragged_and_record_batch_undo_each_other(rows: list[list[int]]) -> None:
    flat, splits = numbers(np.int64, *rows)
    again = example_io.ragged(example_io.record_batch({"a": (flat, splits)}), "a")
    assert again is not None
    np.testing.assert_array_equal(again[0], flat)
    np.testing.assert_array_equal(again[1], splits)
