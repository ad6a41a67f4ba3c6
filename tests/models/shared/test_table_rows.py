import numpy as np
import tensorflow as tf

from homefeed.models.shared.table_rows import copy_rows


def test_rows_move_with_their_names() -> None:
    variable = tf.Variable(-np.ones((4, 2), np.float32))
    earlier = np.float32([[0, 0], [1, 1], [2, 2]])
    assert copy_rows(variable, earlier, (["", "a", "b"], ["", "b", "new", "a"])) == 3
    assert variable.numpy().tolist() == [[0, 0], [2, 2], [-1, -1], [1, 1]]


def test_names_beyond_a_table_are_left_out() -> None:
    """As where the vocabulary is longer than the table that was trained."""
    variable = tf.Variable(-np.ones(2, np.float32))
    assert copy_rows(variable, np.float32([7]), (["a", "b"], ["b", "a", "c"])) == 1
    assert variable.numpy().tolist() == [-1, 7]


def test_tables_of_another_width_are_left_alone() -> None:
    variable = tf.Variable(np.zeros((2, 3), np.float32))
    assert copy_rows(variable, np.ones((2, 2), np.float32), (["a", "b"], ["a", "b"])) == 0
    assert not variable.numpy().any()


def test_what_is_no_table_is_copied_whole_or_not_at_all() -> None:
    kernel, number = tf.Variable(np.zeros((2, 3), np.float32)), tf.Variable(0.0)
    assert copy_rows(kernel, np.ones((2, 3), np.float32)) == 2 and kernel.numpy().all()
    assert copy_rows(kernel, np.full((3, 3), 5, np.float32)) == 0 and (kernel.numpy() == 1).all()
    assert copy_rows(number, np.float32(4)) == 1 and float(number) == 4
