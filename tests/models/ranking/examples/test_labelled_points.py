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
