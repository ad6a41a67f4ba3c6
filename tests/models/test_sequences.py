import dataclasses

import numpy as np

from tests.toy_data import toy_catalogue, toy_sequences


def test_targets_are_what_happened_in_the_split() -> None:
    sequences = dataclasses.replace(toy_sequences(3), num_history=np.array([3, 1, 0]))
    # Rows are 0 … 2, 3 … 6 and 7 … 11.
    assert sequences.targets.tolist() == [4, 5, 6, 7, 8, 9, 10, 11]
    assert sequences.num_users == 3


def test_nobody_has_no_targets() -> None:
    one = toy_sequences(1)
    splits, nothing = np.zeros(1, np.int64), np.empty(0, np.int64)
    empty = dataclasses.replace(one, user_ids=one.user_ids[:0], row_splits=splits, num_history=nothing)
    assert empty.targets.tolist() == [] and empty.targets.dtype == np.int64 and empty.num_users == 0


def test_events_move_with_all_their_columns() -> None:
    sequences = toy_sequences(2)
    queries = np.arange(2 * len(sequences.item_index)).reshape(-1, 2)
    for given in (sequences, dataclasses.replace(sequences, query_token_ids=queries)):
        order = np.arange(len(given.item_index))[::-1]
        moved = dataclasses.replace(given, **given.events_at(order))
        for name in ("item_index", "timestamp", "value", "positive", "query_token_ids"):
            if getattr(given, name) is not None:
                np.testing.assert_array_equal(getattr(moved, name), getattr(given, name)[order])
        for name, column in given.event_features.items():
            np.testing.assert_array_equal(moved.event_features[name], column[order])
        assert (moved.query_token_ids is None) == (given.query_token_ids is None)


def test_a_catalogue_counts_the_row_of_nothing() -> None:
    assert toy_catalogue(5).num_rows == 6
