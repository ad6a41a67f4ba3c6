import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.index import exact_index, partitioned_index


@pytest.fixture(scope="module")
def embeddings() -> Any:
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(6, 5))
    return (centres[generator.integers(6, size=201)] + 0.2 * generator.normal(size=(201, 5))).astype(np.float32)


QUERIES = tf.constant(np.random.default_rng(1).normal(size=(7, 5)), tf.float32)
SEEN = tf.constant(np.random.default_rng(2).integers(0, 201, size=(7, 9)), tf.int32)


def make(embeddings: Any, num_partitions: Any = 10, num_probes: Any = 10, **kwargs: Any) -> Any:
    return partitioned_index.PartitionedIndex(
        embeddings, num_partitions=num_partitions, num_probes=num_probes, **kwargs
    )


def test_with_every_partition_probed_it_is_exact(embeddings: Any) -> None:
    exact = exact_index.ExactIndex(embeddings).search(QUERIES, SEEN, tf.constant(20))
    index = make(embeddings, num_probes=100)
    found = index.search(QUERIES, SEEN, tf.constant(20))
    np.testing.assert_allclose(found[0], exact[0], atol=1e-5)
    np.testing.assert_array_equal(found[1], exact[1])


def test_scores_and_embeddings_are_those_of_the_exact_index(embeddings: Any) -> None:
    exact, index = exact_index.ExactIndex(embeddings), make(embeddings)
    np.testing.assert_allclose(index.scores(QUERIES), exact.scores(QUERIES), atol=1e-5)
    np.testing.assert_allclose(index.embed(SEEN), embeddings[SEEN.numpy()], atol=1e-6)
    np.testing.assert_allclose(index.embed(SEEN[0]), embeddings[SEEN.numpy()[0]], atol=1e-6)


def test_few_probes_find_most(embeddings: Any) -> None:
    _, exact = exact_index.ExactIndex(embeddings).search(QUERIES, SEEN, tf.constant(10))
    _, found = make(embeddings, num_probes=5).search(QUERIES, SEEN, tf.constant(10))
    shared = [len(set(a) & set(b)) for a, b in zip(exact.numpy(), found.numpy(), strict=True)]
    assert np.mean(shared) >= 8


def test_probes_are_chosen_by_recall(embeddings: Any) -> None:
    index = make(embeddings, num_partitions=20)
    found = index.choose_probes(QUERIES.numpy(), recall=0.6)
    few = index.num_probes
    assert found >= 0.6 and few < 20
    assert index.choose_probes(QUERIES.numpy(), recall=1.0) == 1.0
    assert index.num_probes > few


def test_places_that_cannot_be_filled_are_marked(embeddings: Any) -> None:
    index = make(embeddings[:4], 2, num_probes=2)
    scores, rows = index.search(QUERIES[:1], tf.constant([[2, 2]]), tf.constant(4))
    assert sorted(rows.numpy()[0]) == [0, 1, 3]  # At most as many as there are candidates.
    assert (scores.numpy()[0, 2:] == exact_index.EXCLUDED).all()


def test_more_is_asked_for_than_the_probed_lists_hold(embeddings: Any) -> None:
    scores, rows = make(embeddings, num_probes=1).search(QUERIES, SEEN, tf.constant(200))
    assert rows.shape == (7, 200)
    for row, score, seen in zip(rows.numpy(), scores.numpy(), SEEN.numpy(), strict=True):
        found = row[row > 0]
        assert 0 < len(found) < 200 and len(set(found)) == len(found) and not set(found) & set(seen)
        assert (score[len(found) :] == exact_index.EXCLUDED).all()


def test_what_is_not_available_yet_is_not_found(embeddings: Any) -> None:
    available_from = np.arange(201)
    now = tf.constant([50, 0, 3, 500, 0, 0, 100], tf.int64)
    for index in (
        exact_index.ExactIndex(embeddings, available_from),
        make(embeddings, num_probes=100, available_from=available_from),
    ):
        _, rows = index.search(QUERIES, tf.zeros((7, 1), tf.int32), tf.constant(200), now)
        last = rows.numpy().max(axis=1)
        assert last.tolist() == [50, 200, 3, 200, 200, 200, 100]


def test_a_history_of_ten_thousand_is_left_out(embeddings: Any) -> None:
    seen = tf.constant(np.random.default_rng(5).integers(0, 150, size=(2, 10_000)), tf.int32)
    _, rows = make(embeddings, num_probes=100).search(QUERIES[:2], seen, tf.constant(200))
    assert {tuple(sorted(row[row > 0])) for row in rows.numpy()} == {tuple(range(150, 201))}


@pytest.mark.parametrize(("num_vectors", "num_partitions"), [(0, 3), (1, 5), (37, 4), (50, 50), (300, 7)])
def test_every_vector_is_in_one_list_and_none_is_too_long(num_vectors: Any, num_partitions: Any) -> None:
    vectors = np.random.default_rng(3).normal(size=(num_vectors, 3)).astype(np.float32)
    vectors[: num_vectors // 2] = vectors[:1]  # Far more alike than one list holds.
    centroids, order, starts = partitioned_index.partition(vectors, num_partitions, seed=0)
    assert sorted(order) == list(range(num_vectors))
    assert len(centroids) == len(starts) - 1 and starts[0] == 0 and starts[-1] == num_vectors
    shares = num_vectors / max(1, min(num_partitions, num_vectors))
    assert np.diff(starts).max() <= np.ceil(partitioned_index.LONGEST * shares)
    for centroid, start, stop in zip(centroids, starts, starts[1:], strict=False):
        if stop > start:
            np.testing.assert_allclose(centroid, vectors[order[start:stop]].mean(axis=0), atol=1e-5)


def test_it_takes_little_more_memory_than_the_plain_table() -> None:
    table = np.random.default_rng(4).normal(size=(10_001, 64)).astype(np.float32)
    index = partitioned_index.PartitionedIndex(table)
    stored = sum(variable.numpy().nbytes for variable in index.variables)
    assert stored / table.nbytes < 1.1


def test_lists_hold_what_is_nearest_once_all_vectors_are_equally_long(embeddings: Any) -> None:
    vectors = embeddings[1:101] * np.linspace(0.2, 3, 100, dtype=np.float32)[:, None]
    _, order, starts = partitioned_index.partition(vectors, 6, seed=4)
    lengths = np.linalg.norm(vectors, axis=1)
    points = np.concatenate([vectors, np.sqrt(lengths.max() ** 2 - lengths**2)[:, None]], axis=1)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), lengths.max(), rtol=1e-5)
    means = partitioned_index._k_means(points, 6, np.random.default_rng(4))
    nearest = np.linalg.norm(points[:, None] - means, axis=2).argmin(axis=1)
    for start, stop in itertools.pairwise(starts):
        assert len(set(nearest[order[start:stop]])) == 1
    assert (np.diff(nearest[order]) >= 0).all()


def test_probed_lists_are_those_whose_centroids_promise_most(embeddings: Any) -> None:
    index = make(embeddings, num_partitions=8, num_probes=3)
    query = QUERIES[0]
    promise = index._centroids.numpy() @ query.numpy()
    lists = np.argsort(-promise)[:3]
    starts = index._starts.numpy()
    expected = [place for chosen in lists for place in range(starts[chosen], starts[chosen + 1])]
    assert index._probe(query).numpy().tolist() == expected


def test_only_probed_candidates_are_found_and_in_order(embeddings: Any) -> None:
    index = make(embeddings, num_partitions=8, num_probes=3)
    query = QUERIES[:1]
    probed = index._rows.numpy()[index._probe(query[0]).numpy()]
    scores, rows = index.search(query, tf.zeros((1, 1), tf.int32), tf.constant(10))
    values = embeddings[probed] @ query[0].numpy()
    assert rows.numpy()[0].tolist() == probed[np.argsort(-values)[:10]].tolist()
    np.testing.assert_allclose(scores[0], np.sort(values)[::-1][:10], rtol=1e-5)


def test_probes_are_the_fewest_that_find_the_share(embeddings: Any) -> None:
    index = make(embeddings, num_partitions=20)
    found = index.choose_probes(QUERIES.numpy(), recall=0.8)
    enough = index.num_probes
    _, exact = exact_index.ExactIndex(embeddings).search(QUERIES, tf.zeros((7, 1), tf.int32), tf.constant(100))

    def share(num_probes: Any) -> Any:
        _, rows = make(embeddings, 20, num_probes).search(QUERIES, tf.zeros((7, 1), tf.int32), tf.constant(100))
        return np.mean([np.isin(a, b).mean() for a, b in zip(exact.numpy(), rows.numpy(), strict=True)])

    assert share(enough) == pytest.approx(found) and found >= 0.8
    assert share(enough - 1) < 0.8


def test_probes_are_the_fewest_to_a_tenth(embeddings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    index = make(embeddings, num_partitions=100)
    tried: list[int] = []
    search = index.search
    monkeypatch.setattr(index, "search", lambda *asked: (tried.append(index.num_probes), search(*asked))[1])
    monkeypatch.setattr(tf, "function", lambda function, **_: function)
    index.choose_probes(QUERIES.numpy()[:1], recall=0.9)
    assert len(tried) < 12 and tried[:2] == [1, 2] and tried[-1] == index.num_probes


def test_a_few_coordinates_choose_and_all_of_them_score() -> None:
    generator = np.random.default_rng(8)
    table = (generator.normal(size=(3001, 20)) * 0.8 ** np.arange(20)).astype(np.float32)
    turn = np.linalg.qr(generator.normal(size=(20, 20)))[0].astype(np.float32)
    table, queries = table @ turn, tf.constant((generator.normal(size=(20, 20)) @ turn).astype(np.float32))
    index = make(table, 1, num_probes=1)
    assert index._heads.shape == (3001, 5) and index._tails.shape == (3001, 15)
    nobody = tf.zeros((20, 1), tf.int32)
    exact, found = (each.search(queries, nobody, tf.constant(20)) for each in (exact_index.ExactIndex(table), index))
    shared = [len(set(a) & set(b)) for a, b in zip(exact[1].numpy(), found[1].numpy(), strict=True)]
    assert np.mean(shared) > 18
    for query, scores, rows in zip(queries.numpy(), found[0].numpy(), found[1].numpy(), strict=True):
        np.testing.assert_allclose(scores, table[rows] @ query, atol=1e-4)


def test_a_history_of_all_that_is_best_takes_no_place() -> None:
    table = np.arange(3001, dtype=np.float32)[:, None] * np.float32([[1, 0.5]])
    query, seen = tf.constant([[1.0, 1.0]]), tf.range(2001, 3001)[None]
    _, rows = make(table, 1, num_probes=1).search(query, seen, tf.constant(5))
    assert rows.numpy().tolist() == [[2000, 1999, 1998, 1997, 1996]]


def test_where_few_coordinates_tell_little_more_are_scored_by_all() -> None:
    generator = np.random.default_rng(8)
    table, queries = (generator.normal(size=(size, 16)).astype(np.float32) for size in (3001, 10))
    index = make(table, 20)
    assert index.choose_probes(queries, recall=0.95) >= 0.95
    assert partitioned_index.AGAIN < index._again.numpy() < 100


def test_a_vector_that_is_no_number_turns_no_axis() -> None:
    vectors = np.random.default_rng(9).normal(size=(500, 3)).astype(np.float32)
    broken = np.concatenate([vectors, np.float32([[np.nan, 1, 1], [np.inf, 0, 0]])])
    axes = partitioned_index.principal_axes(vectors)
    np.testing.assert_array_equal(partitioned_index.principal_axes(broken), axes)


def test_principal_axes_are_those_of_inner_products() -> None:
    vectors = np.random.default_rng(9).normal(1, [3, 1, 0.1], size=(500, 3)).astype(np.float32)
    axes = partitioned_index.principal_axes(vectors)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-6)
    lengths = np.linalg.norm(vectors @ axes, axis=0)
    assert (np.diff(lengths) < 0).all()
    assert partitioned_index.principal_axes(np.zeros((0, 3), np.float32)).shape == (3, 3)


def test_the_number_of_partitions_is_four_roots(embeddings: Any) -> None:
    assert partitioned_index.PartitionedIndex(embeddings[:101]).num_partitions >= 40
    centroids, _, _ = partitioned_index.partition(embeddings[1:101], 40, seed=0)
    assert partitioned_index.PartitionedIndex(embeddings[:101]).num_partitions == len(centroids)


def test_k_means_ends_where_every_point_is_with_the_nearest_mean() -> None:
    points = np.concatenate([np.zeros((30, 2)), np.ones((20, 2)), 5 * np.ones((10, 2))]).astype(np.float32)
    points += np.random.default_rng(0).normal(0, 0.01, points.shape).astype(np.float32)
    centroids = partitioned_index._k_means(points, 3, np.random.default_rng(3))
    nearest = np.linalg.norm(points[:, None] - centroids, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(partitioned_index._nearest(points, centroids), nearest)
    for which, centroid in enumerate(centroids):
        np.testing.assert_allclose(centroid, points[nearest == which].mean(axis=0), atol=1e-4)


def test_among_ascending_numbers() -> None:
    rows, ascending = tf.constant([5, 0, 2, 9, 3]), tf.constant([0, 2, 2, 9])
    assert partitioned_index._is_among(rows, ascending).numpy().tolist() == [False, True, True, True, False]
    assert not partitioned_index._is_among(rows, tf.constant([], tf.int32)).numpy().any()
