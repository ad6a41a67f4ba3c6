import numpy as np
import pyarrow as pa
import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.transform.users import UserTable, build_users, those, trained_on
from homefeed.schemas.columns import Feature
from tests.components.ragged import numbers, strings

FEATURES = {
    "user_id": Feature(kind="id"),
    "age": Feature(kind="number"),
    "gender": Feature(kind="category"),
    "likes": Feature(kind="categories"),
}
WORDPIECE = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "age", "gender", "31", "F", "X", "f", "x"]


@pytest.fixture
def table() -> pa.RecordBatch:
    return example_io.record_batch(
        {
            "user_id": strings(["u1"], ["u3"], ["u2"]),
            "age": numbers(np.float32, [31], [33], []),
            "gender": strings(["F"], ["X"], []),
            "likes": strings(["tea", "cake"], ["beer"], ["tea"]),
        }
    )


@pytest.fixture
def users(table: pa.RecordBatch) -> UserTable:
    return build_users(table, FEATURES, {"gender": ("F",), "likes": ("tea", "cake")}, ["age"], max_categories=2)


def test_what_a_vocabulary_lacks_is_unknown(users: UserTable) -> None:
    assert users.categorical["gender"].tolist() == [[0], [2], [1], [0]]  # X of u3 is unknown, u2 has none.
    assert users.categorical["likes"].tolist() == [[0, 0], [2, 3], [1, 0], [2, 0]]


def test_numbers_and_texts_stand_behind_a_row_for_strangers(users: UserTable) -> None:
    np.testing.assert_array_equal(users.numeric["age"], np.float32([[np.nan], [31], [33], [np.nan]]))
    assert users.rows == {b"u1": 1, b"u3": 2, b"u2": 3}


def test_users_are_taken_in_any_order_and_strangers_are_row_0(users: UserTable) -> None:
    taken = users.take(np.array([b"u2", b"who", b"u1", b"u1"], object))
    assert taken.categorical["likes"].tolist() == [[2, 0], [0, 0], [2, 3], [2, 3]]
    np.testing.assert_array_equal(taken.numeric["age"][:, 0], np.float32([np.nan, np.nan, 31, 31]))


def test_a_column_that_nobody_of_training_has_is_unknown_for_all(table: pa.RecordBatch) -> None:
    nobody = build_users(table, FEATURES, {"gender": (), "likes": ()}, [], max_categories=1)
    assert nobody.categorical["gender"].tolist() == [[0], [1], [1], [0]] and nobody.numeric == {}


def test_a_column_that_nobody_here_has_is_without_values() -> None:
    here = example_io.record_batch({"user_id": strings(["u1"])})
    features = FEATURES | {"taste": Feature(kind="embedding", size=3)}
    found = build_users(here, features, {"likes": ("tea",)}, ["age", "taste"], max_categories=2)
    assert found.categorical["likes"].tolist() == [[0, 0], [0, 0]]
    assert (found.numeric["age"].shape, found.numeric["taste"].shape) == ((2, 1), (2, 3))
    assert np.isnan(found.numeric["taste"]).all()


def test_who_was_trained_on(table: pa.RecordBatch) -> None:
    mask = trained_on(table, np.array([b"u2", b"u2", b"who"], object))
    assert mask.tolist() == [False, False, True] and mask.dtype == bool
    assert those(table, mask).to_pydict()["user_id"] == [[b"u2"]]
    assert trained_on(table, np.empty(0, object)).tolist() == [False] * 3


def test_a_table_without_anybody() -> None:
    empty = example_io.record_batch({"user_id": strings()})
    users = build_users(empty, FEATURES, {}, [], max_categories=1)
    assert users.rows == {}
