import dataclasses
from typing import Any

import numpy as np

from homefeed.models.retrieval.training import windows
from tests.models.retrieval import toy


def _epoch(sequences: Any, length: Any = 4, batch_size: Any = 3, seed: int = 0) -> Any:
    return list(windows.Windows(sequences, length).epoch(np.random.default_rng(seed), batch_size))


def test_an_epoch_holds_every_event_once() -> None:
    sequences = toy.sequences(num_users=5)
    batches = _epoch(sequences, length=2)
    items = np.concatenate([batch["item"][batch["item"] > 0] for batch in batches])
    assert np.sort(items).tolist() == np.sort(sequences.item_index).tolist()
    assert sum(batch["weight"].sum() for batch in batches) == 15


def test_batches_are_padded_to_one_size_and_keep_users_and_events_together() -> None:
    sequences = toy.sequences(num_users=4)
    for batch in _epoch(sequences):
        assert batch["item"].shape == (3, 4)
        has_events = batch["item"][:, 0] > 0
        is_a = batch["item"][:, 0] <= 3
        assert (batch["user_gender"][has_events, 0] == np.where(is_a[has_events], 2, 3)).all()
        assert (np.diff(batch["timestamp"], axis=1) >= 0).all()


def test_only_what_happened_in_the_same_second_is_shuffled() -> None:
    sequences = dataclasses.replace(toy.sequences(num_users=1), timestamp=np.array([5, 5, 9]))
    first, second, third = sequences.item_index
    seen = {tuple(_epoch(sequences, batch_size=1, seed=seed)[0]["item"][0]) for seed in range(60)}
    assert {(first, second, third, 0), (second, first, third, 0)} <= seen
    assert all(third not in window or window.index(third) == np.count_nonzero(window) - 1 for window in seen)


def test_a_query_is_what_came_before_its_target() -> None:
    sequences = toy.sequences(num_users=2, num_targets=1, num_history=2)
    made = windows.Windows(sequences, length=2)
    targets = np.array([5, 2])
    (batch,) = made.queries(targets, batch_size=2)
    items = sequences.item_index
    assert batch["item"].tolist() == [[items[3], items[4]], [items[0], items[1]]]
    assert batch["now"].tolist() == sequences.timestamp[targets].tolist()
    assert made.items(targets).tolist() == [items[5], items[2]]
    assert [history.tolist() for history in made.histories(targets)] == batch["item"].tolist()


def test_a_query_keeps_the_latest_events_of_a_long_history() -> None:
    sequences = toy.sequences(num_users=2, num_targets=1, num_history=2)
    (batch,) = windows.Windows(sequences, length=1).queries(np.array([5, 2]), batch_size=2)
    assert batch["item"].tolist() == [[sequences.item_index[4]], [sequences.item_index[1]]]


def test_users_without_events_have_no_window() -> None:
    assert _epoch(toy.sequences(num_users=2, num_targets=0)) == []


def test_windows_are_cut_behind_each_other_and_pad_with_nothing() -> None:
    sequences = toy.sequences(num_users=3)
    places = {int(time): place for place, time in enumerate(sequences.timestamp)}
    for batch in _epoch(sequences, length=2, batch_size=2, seed=3):
        assert batch["now"].tolist() == [0, 0]  # Training asks at events, never after them.
        for row in range(2):
            size = np.count_nonzero(batch["item"][row])
            for name in ("item", "history_value", "history_event_type", "weight"):
                assert not batch[name][row, size:].any()
            if size:
                first = places[int(batch["timestamp"][row, 0])]
                part = slice(first, first + size)
                np.testing.assert_array_equal(batch["item"][row, :size], sequences.item_index[part])
                for name, column in sequences.event_features.items():
                    np.testing.assert_array_equal(batch[f"history_{name}"][row, :size], column[part])
                # Padding keeps the last time.
                assert (batch["timestamp"][row, size:] == batch["timestamp"][row, size - 1]).all()


def test_a_batch_is_as_long_as_its_longest_in_steps_of_16() -> None:
    long, short = toy.sequences(num_users=1), toy.sequences(num_users=1, num_targets=2)
    length = 40
    one = dataclasses.replace(
        long,
        row_splits=np.array([0, length]),
        **(long.events_at(np.arange(length) % len(long.item_index)) | {"timestamp": np.arange(length)}),
    )
    for seed in range(8):
        for batch in _epoch(one, length=64, batch_size=1, seed=seed):
            longest = np.count_nonzero(batch["item"], axis=1).max()
            assert batch["item"].shape[1] == -(-longest // 16) * 16
    assert _epoch(short, length=64, batch_size=1)[0]["item"].shape[1] == 16
    assert _epoch(one, length=20, batch_size=1)[-1]["item"].shape[1] <= 20


def _long_and_short(num_users: int) -> windows.Windows:
    """Every other user has 60 events, the others 2."""
    many = toy.sequences(num_users=num_users)
    splits = np.concatenate([[0], np.cumsum(np.where(np.arange(num_users) % 2, 60, 2))])
    total = splits[-1]
    events = many.events_at(np.arange(total) % len(many.item_index)) | {"timestamp": np.arange(total)}
    return windows.Windows(dataclasses.replace(many, row_splits=splits, **events), 64)


def test_windows_of_like_length_share_a_batch_and_many_short_ones_are_as_many_places_as_few_long_ones() -> None:
    batches = list(_long_and_short(512).epoch(np.random.default_rng(0), 8))
    sizes = [np.count_nonzero(batch["item"], axis=1) for batch in batches]
    assert np.mean([np.ptp(size) < 16 for size in sizes]) > 0.8, "by chance most would span 60"
    shapes = [batch["item"].shape for batch in batches]
    assert {(32, 16), (8, 48)} <= set(shapes) and all(rows * length <= 8 * 64 for rows, length in shapes)
    assert sum(size.sum() for size in sizes) == 256 * 62, "what fills no batch is put with longer windows"


def test_small_data_keep_their_steps() -> None:
    of_few = list(_long_and_short(64).epoch(np.random.default_rng(0), 8))
    assert {len(batch["item"]) for batch in of_few} == {8} and len(of_few) >= 64 / 8


def test_an_epoch_of_many_batches_takes_some_of_them_drawn_anew() -> None:
    made = windows.Windows(toy.sequences(num_users=40), 4)
    generator = np.random.default_rng(0)
    assert len(_epoch(toy.sequences(num_users=40))) == made.num_batches(np.random.default_rng(0), 3) > 5
    parts = [[batch["timestamp"].tolist() for batch in made.epoch(generator, 3, 5)] for _ in range(2)]
    assert len(parts[0]) == len(parts[1]) == 5 and parts[0] != parts[1]


def test_queries_beyond_a_batch_come_in_order_and_stop_at_the_users_first_event() -> None:
    sequences = toy.sequences(num_users=3, num_targets=1, num_history=2)
    made = windows.Windows(sequences, length=5)
    first, second = made.queries(np.array([2, 5, 8]), batch_size=2)
    item, items = sequences.item_index, np.concatenate([first["item"], second["item"]])
    assert [row[row > 0].tolist() for row in items[:3]] == [item[i : i + 2].tolist() for i in (0, 3, 6)]
    assert not items[3].any()
    assert second["now"].tolist() == [sequences.timestamp[8], 0]  # The last place of a batch is filled up.
    assert first["user_gender"].tolist() == sequences.categorical["gender"][:2].tolist()


def test_the_first_cut_is_anywhere_within_a_window() -> None:
    """So that each event is now the first of a window, now the last: 1 to 4 events before the first cut, evenly."""
    sizes = []
    for seed in range(300):
        starts, stops, users = windows.Windows(toy.sequences(num_users=2), 3)._cut(np.random.default_rng(seed))
        assert users.tolist() == sorted(users) and stops[-1] == 6 and starts[0] == 0
        sizes.append(stops[0] - starts[0])
    np.testing.assert_allclose(np.bincount(sizes, minlength=4)[1:] / 300, 1 / 3, atol=0.08)
