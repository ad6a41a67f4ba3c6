import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.index import exact_index, scann_index

pytest.importorskip("scann")

TABLE = np.random.default_rng(0).normal(size=(2_001, 16)).astype(np.float32)
QUERIES = tf.constant(np.random.default_rng(1).normal(size=(5, 16)), tf.float32)
SEEN = tf.constant(np.random.default_rng(2).integers(0, 2_001, size=(5, 9)), tf.int32)


def test_with_every_leaf_searched_and_reordered_it_is_exact() -> None:
    index = scann_index.ScannIndex(TABLE, num_leaves=20, num_probes=20, num_reordered=2_000)
    exact = exact_index.ExactIndex(TABLE)
    scores, rows = index.search(QUERIES, SEEN, tf.constant(30))
    expected_scores, expected_rows = exact.search(QUERIES, SEEN, tf.constant(30))
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-4)
    np.testing.assert_allclose(index.scores(QUERIES), exact.scores(QUERIES), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(index.embed(SEEN), exact.embed(SEEN))


def test_fewer_leaves_find_most() -> None:
    index = scann_index.ScannIndex(TABLE, num_leaves=10, num_probes=6)
    _, rows = index.search(QUERIES, SEEN, tf.constant(10))
    _, exact = exact_index.ExactIndex(TABLE).search(QUERIES, SEEN, tf.constant(10))
    shared = [len(set(a) & set(b)) for a, b in zip(rows.numpy(), exact.numpy(), strict=True)]
    assert np.mean(shared) >= 6
