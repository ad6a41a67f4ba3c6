import dataclasses
import itertools

import numpy as np
import pytest

from homefeed.models.ranking.examples.labelled_points import LabelledPoints, hold_out, make_batch, unlisted
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.shared import prediction_points
from tests.toy_data import toy_sequences

CONFIG = Hyperparameters(num_targets=1, num_listed=1, num_negatives=7)


@pytest.mark.parametrize("in_training", [True, False])
def test_what_was_retrieved_and_does_not_come_next_is_a_negative(in_training: bool) -> None:
    sequences = toy_sequences()
    points = prediction_points.every_target(sequences)
    retrieved = np.tile(np.arange(1, 8, dtype=np.int32), (len(points), 1))
    labelled = LabelledPoints(sequences, points, retrieved, retrieved.astype(np.float32), in_training)
    batch = make_batch(labelled, np.arange(len(points)), CONFIG, np.random.default_rng(0))
    for row, (user, cut) in enumerate(zip(points.row, points.cut, strict=True)):
        coming = sequences.item_index[cut : sequences.row_splits[user + 1]]
        expected = set(range(1, 8)) - {coming[0]}
        assert set(batch["candidates"][row, 1:]) - {0} == expected
        assert batch["candidates"][row, 0] == coming[0] and batch["relevance"][row, 0] == 1
        assert (batch["irrelevant"][row, 1:] == (batch["candidates"][row, 1:] > 0)).all()


def test_held_out_events_become_targets_with_all_their_columns() -> None:
    sequences = toy_sequences()
    held = hold_out(sequences, 0.5, np.random.default_rng(0))
    assert 0 < held.num_history.sum() < len(sequences.item_index)
    for start, stop in itertools.pairwise(sequences.row_splits):
        row = slice(start, stop)
        before, after = (sorted(zip(s.timestamp[row], s.item_index[row], strict=True)) for s in (sequences, held))
        assert before == after


def test_a_query_speaks_of_the_next_event_alone() -> None:
    sequences = toy_sequences()
    tokens = np.zeros((len(sequences.item_index), 2), np.int32)
    tokens[sequences.row_splits[1]] = 7
    sequences = dataclasses.replace(sequences, query_token_ids=tokens)
    points = prediction_points.first_targets(sequences)
    labelled = unlisted(sequences, points, 4, True)
    config = dataclasses.replace(CONFIG, num_targets=3, num_listed=2, num_negatives=1)
    relevance = make_batch(labelled, np.arange(2), config, np.random.default_rng(0))["relevance"]
    np.testing.assert_array_equal(relevance, [[1, 1, 0, 0], [2, 0, 0, 0]])


def test_labels_of_two_listed_targets_in_full() -> None:
    sequences = toy_sequences()  # User 4's events are 18 … 24, of the items 5, 6, 7, 1, 2, 3, 4.
    start = sequences.row_splits[4]
    points = prediction_points.PredictionPoints(np.array([4, 4]), np.array([start + 1, start + 5]))
    retrieved = np.array([[7, 2, 6, 4], [3, 5, 0, 0]], np.int32)
    labelled = LabelledPoints(sequences, points, retrieved, retrieved.astype(np.float32), True)
    config = dataclasses.replace(CONFIG, num_targets=3, num_listed=2, num_negatives=2)
    batch = make_batch(labelled, np.arange(2), config, np.random.default_rng(0))
    assert batch["candidates"][:, :3].tolist() == [[6, 7, 1], [3, 4, 0]]
    assert set(batch["candidates"][0, 3:]) == {2, 4}, "what comes is no negative, though it was retrieved"
    assert sorted(batch["candidates"][1, 3:]) == [0, 5]
    assert batch["relevance"].tolist() == [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0]]
    assert batch["is_event"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]]
    assert batch["irrelevant"].tolist() == [
        [False] * 3 + [True] * 2,
        [False] * 3 + [n > 0 for n in batch["candidates"][1, 3:]],
    ]
    assert batch["positive"][0, :3].tolist() == sequences.positive[start + 1 : start + 4].tolist()
    np.testing.assert_array_equal(batch["value"][1], [*sequences.value[start + 5 : start + 7], *[np.nan] * 3])
    assert batch["fit"].tolist() == [2, 2]  # User 4 is left out of the second fold.


def test_negatives_are_drawn_evenly_from_what_was_retrieved() -> None:
    sequences = toy_sequences()
    points = prediction_points.every_target(sequences)[:1]
    retrieved = np.array([[2, 3, 4, 5, 6, 7]], np.int32)
    labelled = LabelledPoints(sequences, points, retrieved, retrieved.astype(np.float32), False)
    rng, drawn = np.random.default_rng(0), []
    config = dataclasses.replace(CONFIG, num_negatives=2)
    for _ in range(900):
        negatives = make_batch(labelled, np.array([0]), config, rng)["candidates"][0, 1:]
        assert len(set(negatives)) == 2
        drawn.extend(negatives)
    np.testing.assert_allclose(np.bincount(drawn, minlength=8)[2:] / 900, 1 / 3, atol=0.06)


def test_a_share_of_the_events_is_held_out_and_comes_last_in_any_order() -> None:
    sequences = toy_sequences(num_users=200)
    held = hold_out(sequences, 0.3, np.random.default_rng(0))
    total = len(sequences.item_index)
    assert 1 - held.num_history.sum() / total == pytest.approx(0.3, abs=0.02)
    shuffled = 0
    for start, stop, known in zip(held.row_splits[:-1], held.row_splits[1:], held.num_history, strict=True):
        assert (np.diff(held.timestamp[start : start + known]) > 0).all(), "what is known stays in order"
        shuffled += int((np.diff(held.timestamp[start + known : stop]) < 0).any())
    assert shuffled > 100


def test_points_without_retrieval() -> None:
    asked = unlisted(toy_sequences(), prediction_points.every_target(toy_sequences())[:3], 4, False)
    assert len(asked) == 3 and asked.retrieved.shape == (3, 4) and not asked.retrieved.any()
    assert not make_batch(asked, np.arange(3), CONFIG, np.random.default_rng(0))["fit"].any()
