import dataclasses

import numpy as np

from homefeed.models.ranking.examples.labelled_points import LabelledPoints, hold_out, make_batch
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.shared import prediction_points
from homefeed.models.shared.prediction_points import PredictionPoints
from tests.toy_data import toy_sequences


def test_recent_items_are_newest_first_and_stop_before_the_cut() -> None:
    sequences = toy_sequences()  # User 1 has the events 3 … 6, of the items 2, 3, 4, 5.
    arrays = prediction_points.features(sequences, PredictionPoints(np.array([1]), np.array([5])), 3)
    assert arrays["recent_items"].tolist() == [[3, 2, 0]]
    assert arrays["timestamp"].tolist() == [sequences.timestamp[5]]
    assert arrays["recent_timestamps"].tolist() == [[*sequences.timestamp[[4, 3]], 0]]
    assert np.isnan(arrays["recent_value"][0, 2])
    assert arrays["user_age"].tolist() == sequences.numeric["age"][[1]].tolist()


def test_what_comes_stays_inside_the_row() -> None:
    points = PredictionPoints(np.array([0, 1]), np.array([1, 3]))
    assert prediction_points.coming_events(toy_sequences(), points, 3).tolist() == [[1, 2, -1], [3, 4, 5]]


def test_points_are_in_the_split() -> None:
    sequences = toy_sequences(num_history=2)
    assert prediction_points.first_targets(sequences).cut.tolist() == (sequences.row_splits[:-1] + 2).tolist()
    random = prediction_points.random_points(sequences, 2, np.random.default_rng(0))
    assert np.bincount(random.row).tolist() == [1, 2, 2, 2, 2]
    assert set(random.cut) <= set(sequences.targets)


def test_held_out_events_come_last_and_none_is_lost() -> None:
    sequences = toy_sequences()
    held = hold_out(sequences, 0.5, np.random.default_rng(0))
    for row in range(sequences.num_users):
        part = slice(*sequences.row_splits[row : row + 2])
        assert sorted(held.timestamp[part]) == sequences.timestamp[part].tolist()
        past = held.timestamp[part][: held.num_history[row]]
        assert (np.diff(past) > 0).all()


def test_batch_labels_what_happened_and_draws_the_rest_from_retrieval() -> None:
    sequences = toy_sequences()
    points = PredictionPoints(np.array([1]), np.array([4]))  # Then came the items 3, 4 and 5.
    retrieved = np.array([[4, 7, 6, 0]], np.int32)
    config = Hyperparameters(num_targets=4, num_listed=2, num_negatives=3, max_events=2, max_rated_events=2)
    labelled = LabelledPoints(sequences, points, retrieved, retrieved.astype(np.float32), True)
    batch = make_batch(labelled, np.array([0]), config, np.random.default_rng(0))
    assert batch["candidates"][0, :4].tolist() == [3, 4, 5, 0]
    assert sorted(batch["candidates"][0, 4:]) == [0, 6, 7]
    assert batch["relevance"].tolist() == [[1, 1, 0, 0, 0, 0, 0]]
    assert batch["is_event"].tolist() == [[1, 1, 1, 0, 0, 0, 0]]
    assert batch["irrelevant"].tolist() == [[False] * 4 + [row > 0 for row in batch["candidates"][0, 4:]]]
    assert batch["positive"][0, :3].tolist() == sequences.positive[4:7].tolist()
    assert batch["fit"].tolist() == [2]


def test_columns_of_recent_events_in_full() -> None:
    sequences = toy_sequences()
    points = PredictionPoints(np.array([2, 0]), sequences.row_splits[[2, 0]] + np.array([4, 1]))
    arrays = prediction_points.features(sequences, points, 2)
    at = sequences.row_splits[2]
    np.testing.assert_array_equal(arrays["recent_items"], [sequences.item_index[[at + 3, at + 2]], [1, 0]])
    np.testing.assert_array_equal(arrays["recent_value"][0], sequences.value[[at + 3, at + 2]])
    kinds = sequences.event_categorical["event_type"]
    np.testing.assert_array_equal(arrays["recent_event_type"][0], kinds[[at + 3, at + 2]])
    assert arrays["recent_event_type"][1, 1] == arrays["recent_timestamps"][1, 1] == 0
    assert {name: array.dtype for name, array in arrays.items() if name.startswith("recent")} == {
        "recent_items": np.int32,
        "recent_value": np.float32,
        "recent_event_type": np.int32,
        "recent_timestamps": np.int64,
    }
    assert "query_token_ids" not in arrays


def test_a_query_is_that_of_the_event_that_comes() -> None:
    sequences = toy_sequences()
    tokens = np.arange(len(sequences.item_index), dtype=np.int32)[:, None]
    sequences = dataclasses.replace(sequences, query_token_ids=tokens)
    points = PredictionPoints(np.array([1, 4]), np.array([5, len(sequences.item_index)]))
    found = prediction_points.features(sequences, points, 1)
    assert found["query_token_ids"][0].tolist() == [5] and found["timestamp"][0] == sequences.timestamp[5]


def test_every_target_knows_its_user() -> None:
    sequences = toy_sequences(num_history=2)
    points = prediction_points.every_target(sequences)
    for row, cut in zip(points.row, points.cut, strict=True):
        assert sequences.row_splits[row] + 2 <= cut < sequences.row_splits[row + 1]
    assert len(points) == (np.diff(sequences.row_splits) - 2).sum()


def test_users_without_targets_have_no_point() -> None:
    sequences = dataclasses.replace(toy_sequences(), num_history=np.array([3, 1, 5, 0, 7]))
    assert prediction_points.first_targets(sequences).row.tolist() == [1, 3]
    assert prediction_points.random_points(sequences, 9, np.random.default_rng(0)).row.tolist().count(1) == 3


def test_random_points_are_different_and_drawn_evenly() -> None:
    sequences, counts = toy_sequences(), np.zeros(7)
    rng = np.random.default_rng(0)
    for _ in range(700):
        points = prediction_points.random_points(sequences, 2, rng)
        mine = points.cut[points.row == 4] - sequences.row_splits[4]
        assert len(set(mine)) == 2
        counts[mine] += 1
    np.testing.assert_allclose(counts / 700, 2 / 7, atol=0.06)


def test_thinned_points_keep_both_ends() -> None:
    points = PredictionPoints(np.arange(10), np.arange(10))
    assert prediction_points.thinned(points, 4).cut.tolist() == [0, 3, 6, 9]
    assert prediction_points.thinned(points, 99).cut.tolist() == list(range(10))
    assert len(prediction_points.thinned(points[:0], 5)) == 0


def test_points_are_drawn_evenly_where_there_are_more() -> None:
    points, rng = PredictionPoints(np.arange(10), np.arange(10)), np.random.default_rng(0)
    assert prediction_points.drawn(points, 10, rng) is points
    counts = np.zeros(10)
    for _ in range(1000):
        found = prediction_points.drawn(points, 3, rng).cut
        assert len(set(found.tolist())) == 3
        counts[found] += 1
    np.testing.assert_allclose(counts / 1000, 0.3, atol=0.06)
