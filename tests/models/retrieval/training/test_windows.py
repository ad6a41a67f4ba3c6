import dataclasses

import numpy as np

from homefeed.models.retrieval.training import windows
from tests.models.retrieval import toy


def _epoch(sequences, length=4, batch_size=3, seed=0):
    return list(windows.Windows(sequences, length).epoch(np.random.default_rng(seed), batch_size))


def test_an_epoch_holds_every_event_once():
    sequences = toy.sequences(num_users=5)
    batches = _epoch(sequences, length=2)
    items = np.concatenate([batch["item"][batch["item"] > 0] for batch in batches])
    assert np.sort(items).tolist() == np.sort(sequences.item_index).tolist()
    assert sum(batch["weight"].sum() for batch in batches) == 15


def test_batches_are_padded_to_one_size_and_keep_users_and_events_together():
    sequences = toy.sequences(num_users=4)
    for batch in _epoch(sequences):
        assert batch["item"].shape == (3, 4)
        has_events = batch["item"][:, 0] > 0
        is_a = batch["item"][:, 0] <= 3
        assert (batch["user_gender"][has_events, 0] == np.where(is_a[has_events], 2, 3)).all()
        assert (np.diff(batch["timestamp"], axis=1) >= 0).all()


def test_only_what_happened_in_the_same_second_is_shuffled():
    sequences = dataclasses.replace(toy.sequences(num_users=1), timestamp=np.array([5, 5, 9]))
    first, second, third = sequences.item_index
    seen = {tuple(_epoch(sequences, batch_size=1, seed=seed)[0]["item"][0]) for seed in range(60)}
    assert {(first, second, third, 0), (second, first, third, 0)} <= seen
    assert all(third not in window or window.index(third) == np.count_nonzero(window) - 1 for window in seen)


def test_context_repetitions_and_unknown_items_are_no_targets():
    sequences = dataclasses.replace(
        toy.sequences(num_users=1, num_targets=3),
        row_splits=np.array([0, 6]),
        num_history=np.array([2]),
        item_index=np.array([1, 2, 2, 3, 3, 0], np.int32),
        positive=np.array([True, True, True, False, True, True]),
    )
    assert windows.target_weights(sequences, 0.25).tolist() == [0, 0, 0, 0.25, 0, 0]


def test_targets_weigh_by_event_type_and_value():
    sequences = dataclasses.replace(
        toy.sequences(num_users=1, num_targets=3),
        item_index=np.array([1, 2, 3], np.int32),
        event_categorical={"event_type": np.array([3, 2, 0], np.int32)},
        event_numeric={"value": np.array([1, 5, np.nan], np.float32)},
    )
    weights = windows.target_weights(sequences, 1.0, {"buy": 3.0, "never seen": 9.0}, value_weight=0.5)
    assert weights.tolist() == [3.0, 1.5, 1.0]
    made = windows.Windows(sequences, length=3, weights=weights)
    assert sorted(next(made.epoch(np.random.default_rng(0), 1))["weight"].ravel()[:3]) == [1.0, 1.5, 3.0]


def test_a_query_is_what_came_before_its_target():
    sequences = toy.sequences(num_users=2, num_targets=1, num_history=2)
    made = windows.Windows(sequences, length=2)
    targets = np.array([5, 2])
    (batch,) = made.queries(targets, batch_size=2)
    items = sequences.item_index
    assert batch["item"].tolist() == [[items[3], items[4]], [items[0], items[1]]]
    assert batch["now"].tolist() == sequences.timestamp[targets].tolist()
    assert made.items(targets).tolist() == [items[5], items[2]]
    assert [history.tolist() for history in made.histories(targets)] == batch["item"].tolist()


def test_users_without_events_have_no_window():
    assert _epoch(toy.sequences(num_users=2, num_targets=0)) == []
