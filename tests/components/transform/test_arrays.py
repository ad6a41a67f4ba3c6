import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.coded import Coded
from homefeed.components.transform import arrays
from homefeed.schemas.columns import Feature
from tests.components.ragged import numbers, strings

FEATURES = {
    "user_id": Feature(kind="id"),
    "kind": Feature(kind="category"),
    "tags": Feature(kind="categories"),
    "price": Feature(kind="number"),
    "image": Feature(kind="embedding", size=2),
    "title": Feature(kind="text"),
}


@pytest.fixture
def batch() -> pa.RecordBatch:
    return example_io.record_batch(
        {
            "kind": strings(["b"], ["a"], [], ["b"]),
            "tags": strings(["x", "y", "z"], ["y"], ["y", "x"], []),
            "price": numbers(np.float32, [1], [], [3], [4]),
            "image": numbers(np.float32, [1, 2], [3], [], [4, 5]),
            "title": strings(["t"], ["t"], ["t"], ["t"]),
        }
    )


def test_categories_become_positions_and_numbers_stay(batch: pa.RecordBatch) -> None:
    found = arrays.encode(batch, FEATURES, {}, max_categories=2, min_count=1)
    assert found.vocabularies == {"kind": ("b", "a"), "tags": ("y", "x", "z")}
    # Positions begin behind PAD 0 and OOV 1.
    assert found.categorical["kind"].tolist() == [[2], [3], [0], [2]]
    assert found.categorical["tags"].tolist() == [[3, 2], [2, 0], [2, 3], [0, 0]]  # z is the third: cut off.
    assert found.numeric.keys() == {"price", "image"}
    np.testing.assert_array_equal(found.numeric["price"], np.float32([[1], [np.nan], [3], [4]]))
    nothing = [np.nan, np.nan]
    np.testing.assert_array_equal(found.numeric["image"], np.float32([[1, 2], nothing, nothing, [4, 5]]))
    assert {array.dtype for array in found.categorical.values()} == {np.dtype(np.int32)}
    assert {array.dtype for array in found.numeric.values()} == {np.dtype(np.float32)}


def test_what_is_rare_is_out_of_the_vocabulary(batch: pa.RecordBatch) -> None:
    found = arrays.encode(batch, FEATURES, {}, max_categories=3, min_count=2)
    assert found.vocabularies == {"kind": ("b",), "tags": ("y", "x")}
    assert found.categorical["kind"].tolist() == [[2], [1], [0], [2]]
    assert found.categorical["tags"].tolist()[0] == [3, 2, 1]


def test_a_vocabulary_that_is_given_is_kept(batch: pa.RecordBatch) -> None:
    given_ones = {"kind": ("a", "c"), "absent": ("q",)}
    features = FEATURES | {"absent": Feature(kind="category"), "unseen": Feature(kind="category")}
    found = arrays.encode(batch, features, given_ones, max_categories=1, min_count=1)
    assert found.vocabularies["kind"] == ("a", "c")
    assert found.categorical["kind"].tolist() == [[1], [2], [0], [1]]
    assert found.categorical["absent"].tolist() == [[0]] * 4  # The model reads it, so that it must be there.
    assert "unseen" not in found.categorical


def test_an_empty_vocabulary_that_is_given_is_not_learnt_anew(batch: pa.RecordBatch) -> None:
    found = arrays.encode(batch, FEATURES, {"kind": ()}, max_categories=1, min_count=1)
    assert found.vocabularies["kind"] == () and found.categorical["kind"].tolist() == [[1], [1], [0], [1]]


def test_row_0_knows_nothing(batch: pa.RecordBatch) -> None:
    plain = arrays.encode(batch, FEATURES, {}, max_categories=2, min_count=1)
    found = plain.behind_row_0()
    assert found.categorical["tags"].tolist() == [[0, 0], *plain.categorical["tags"].tolist()]
    assert np.isnan(found.numeric["image"][0]).all()
    np.testing.assert_array_equal(found.numeric["image"][1:], plain.numeric["image"])
    assert found.vocabularies == plain.vocabularies


def test_features_of_some_kinds_by_name() -> None:
    assert list(arrays.of_kinds(FEATURES, "category", "categories")) == ["kind", "tags"]
    assert list(arrays.of_kinds(dict(reversed(FEATURES.items())), "text", "number")) == ["price", "title"]
    assert arrays.of_kinds(FEATURES, "timestamp") == {}


def test_a_vocabulary_is_by_frequency_then_by_name() -> None:
    values = {b"b": 1, b"a": 1, b"c": 2, b"": 2}
    assert arrays.vocabulary(values) == ("c", "a", "b")
    assert arrays.vocabulary(values, min_count=2) == ("c",)
    assert arrays.vocabulary({"茶".encode(): 1}) == ("茶",)
    assert arrays.vocabulary({}) == ()


def test_unknown_values_are_told_from_missing_ones() -> None:
    found = arrays.look_up(Coded.of([b"a", b"?", b"", "茶".encode()]), ("a", "茶"))
    assert found.tolist() == [2, 1, 0, 3] and found.dtype == np.int32
    assert arrays.look_up(Coded.of([]), ("a",)).tolist() == []


ROWS = st.lists(st.lists(st.integers(1, 99), max_size=5), max_size=6)


@given(ROWS, st.integers(1, 4))
def test_padding_is_what_python_would_do(rows: list[list[int]], width: int) -> None:
    flat, splits = numbers(np.int32, *rows)
    padded = arrays.pad(flat, splits.astype(np.int64), width)
    assert padded.shape == (len(rows), width)
    assert padded.tolist() == [(row + [0] * width)[:width] for row in rows]


@given(ROWS, st.integers(1, 4))
def test_a_row_of_numbers_is_whole_or_unknown(rows: list[list[int]], size: int) -> None:
    flat, splits = numbers(np.float32, *rows)
    padded = arrays.pad_numbers(flat, splits.astype(np.int64), size)
    expected = [row if len(row) == size else [np.nan] * size for row in rows]
    np.testing.assert_array_equal(padded, np.float32(expected).reshape(len(rows), size))


def test_a_row_in_front_keeps_type_and_shape() -> None:
    found = arrays.with_row_0(np.array([[1, 2], [3, 4]], np.int32), 9)
    assert found.tolist() == [[9, 9], [1, 2], [3, 4]] and found.dtype == np.int32
    names = arrays.with_row_0(np.array([b"a"], object), b"")
    assert names.tolist() == [b"", b"a"] and names.dtype == object
