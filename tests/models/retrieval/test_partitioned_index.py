import numpy as np
import pytest
import tensorflow as tf

from models.retrieval import exact_index, partitioned_index


@pytest.fixture(scope="module")
def embeddings():
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(6, 5))
    return (centres[generator.integers(6, size=201)] + 0.2 * generator.normal(size=(201, 5))).astype(np.float32)


QUERIES = tf.constant(np.random.default_rng(1).normal(size=(7, 5)), tf.float32)
SEEN = tf.constant(np.random.default_rng(2).integers(0, 201, size=(7, 9)), tf.int32)


def test_with_every_partition_probed_it_is_exact(embeddings):
    exact = exact_index.ExactIndex(embeddings).search(QUERIES, SEEN, tf.constant(20))
    found = partitioned_index.PartitionedIndex(embeddings, 10, num_probes=10).search(QUERIES, SEEN, tf.constant(20))
    np.testing.assert_allclose(found[0], exact[0], atol=1e-5)
    np.testing.assert_array_equal(found[1], exact[1])


def test_few_probes_find_most(embeddings):
    _, exact = exact_index.ExactIndex(embeddings).search(QUERIES, SEEN, tf.constant(10))
    _, found = partitioned_index.PartitionedIndex(embeddings, 10, num_probes=5).search(QUERIES, SEEN, tf.constant(10))
    shared = [len(set(a) & set(b)) for a, b in zip(exact.numpy(), found.numpy(), strict=True)]
    assert np.mean(shared) >= 8


def test_places_that_cannot_be_filled_are_marked(embeddings):
    index = partitioned_index.PartitionedIndex(embeddings[:4], 2, num_probes=2)
    scores, rows = index.search(QUERIES[:1], tf.constant([[2, 2]]), tf.constant(4))
    assert sorted(rows.numpy()[0]) == [0, 0, 1, 3]
    assert (scores.numpy()[0, 2:] == exact_index.EXCLUDED).all()


@pytest.mark.parametrize(("num_vectors", "num_partitions"), [(1, 5), (37, 4), (50, 50), (300, 7)])
def test_every_vector_is_in_one_partition_and_none_overflows(num_vectors, num_partitions):
    vectors = np.random.default_rng(3).normal(size=(num_vectors, 3)).astype(np.float32)
    vectors[: num_vectors // 2] = vectors[0]  # Far more alike than one list holds.
    centroids, members = partitioned_index.partition(vectors, num_partitions, seed=0)
    assert len(centroids) == len(members) == min(num_partitions, num_vectors)
    assert sorted(members[members >= 0]) == list(range(num_vectors))
    assert members.size <= partitioned_index.SLACK * num_vectors + len(members)
