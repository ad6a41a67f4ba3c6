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
