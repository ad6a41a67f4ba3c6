import tensorflow as tf

from homefeed.models.shared import string_table


def test_items_are_rows_and_anything_else_is_row_0() -> None:
    table = string_table.StringTable(["片".encode(), b"b"], first=1)
    assert table.lookup(tf.constant([["片", "b", "", "zz"]])).numpy().tolist() == [[1, 2, 0, 0]]


def test_a_vocabulary_tells_none_from_unknown() -> None:
    table = string_table.vocabulary_table(("x", "y"))
    assert table.lookup(tf.constant(["y", "", "zz"])).numpy().tolist() == [3, 0, 1]


def test_an_empty_vocabulary_knows_nothing() -> None:
    assert string_table.vocabulary_table(()).lookup(tf.constant(["x", ""])).numpy().tolist() == [1, 0]
