import numpy as np
import tensorflow as tf

from homefeed.models.shared.half_precision import halved, rows_of


def test_a_table_takes_half_the_bytes_and_its_rows_are_float32() -> None:
    table = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    half = halved(table)
    assert half.nbytes * 2 == table.nbytes
    rows = rows_of(tf.Variable(half), tf.constant([[4, 0]]))
    assert rows.dtype == tf.float32
    np.testing.assert_allclose(rows[0], table[[4, 0]], rtol=2**-11)


def test_a_number_that_is_too_large_keeps_its_table_as_it_is() -> None:
    table = np.array([[1.0, 70_000.0]], np.float32)
    assert halved(table) is table
    np.testing.assert_array_equal(rows_of(tf.Variable(halved(table)), tf.constant([0])), table)
