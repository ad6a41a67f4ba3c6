import dataclasses
from typing import Any

import numpy as np
import pytest

from homefeed.models.retrieval.training import targets
from homefeed.models.retrieval.training.windows import Windows
from tests.models.retrieval import toy


def test_context_repetitions_and_unknown_items_are_no_targets() -> None:
    sequences = dataclasses.replace(
        toy.sequences(num_users=1, num_targets=3),
        row_splits=np.array([0, 6]),
        num_history=np.array([2]),
        item_index=np.array([1, 2, 2, 3, 3, 0], np.int32),
        positive=np.array([True, True, True, False, True, True]),
    )
    assert targets.target_weights(sequences, 0.25).tolist() == [0, 0, 0, 0.25, 0, 0]


def test_targets_weigh_by_event_type_and_value() -> None:
    sequences = dataclasses.replace(
        toy.sequences(num_users=1, num_targets=3),
        item_index=np.array([1, 2, 3], np.int32),
        event_categorical={"event_type": np.array([3, 2, 0], np.int32)},
        event_numeric={"value": np.array([1, 5, np.nan], np.float32)},
    )
    weights = targets.target_weights(sequences, 1.0, {"buy": 3.0, "never seen": 9.0}, value_weight=0.5)
    assert weights.tolist() == [3.0, 1.5, 1.0]
    made = Windows(sequences, length=3, weights=weights)
    assert sorted(next(made.epoch(np.random.default_rng(0), 1))["weight"].ravel()[:3]) == [1.0, 1.5, 3.0]


def test_the_same_item_of_another_user_is_no_repetition() -> None:
    sequences = dataclasses.replace(
        toy.sequences(num_users=3, num_targets=2), item_index=np.array([6, 1, 6, 1, 1, 6], np.int32)
    )
    assert targets.target_weights(sequences).tolist() == [1] * 6


def test_values_weigh_from_the_lowest_to_the_highest() -> None:
    sequences = dataclasses.replace(
        toy.sequences(num_users=1, num_targets=3),
        row_splits=np.array([0, 4]),
        num_history=np.array([0]),
        item_index=np.array([1, 2, 3, 4], np.int32),
        timestamp=np.arange(4),
        event_categorical={"event_type": np.zeros(4, np.int32)},
        positive=np.ones(4, bool),
        event_numeric={"value": np.array([10, 20, 40, np.nan], np.float32)},
    )
    # 1 + 0.6 · (value - 10) / 30; nothing is known of the last.
    assert targets.target_weights(sequences, value_weight=0.6).tolist() == pytest.approx([1, 1.2, 1.6, 1])
    same = dataclasses.replace(sequences, event_numeric={"value": np.full(4, 7, np.float32)})
    assert targets.target_weights(same, value_weight=0.6).tolist() == [1] * 4
    unknown = dataclasses.replace(sequences, event_numeric={"value": np.full(4, np.nan, np.float32)})
    assert targets.target_weights(unknown, value_weight=0.6).tolist() == [1] * 4


def test_weights_multiply() -> None:
    sequences = dataclasses.replace(
        toy.sequences(num_users=1, num_targets=3),
        item_index=np.array([1, 2, 3], np.int32),
        positive=np.array([False, True, False]),
        event_categorical={
            "event_type": np.array([3, 3, 1], np.int32)
        },  # Position 1 is a type out of the vocabulary.
        event_numeric={"value": np.array([1, 2, 3], np.float32)},
    )
    found = targets.target_weights(sequences, 0.5, {"buy": 4.0}, value_weight=1.0)
    assert found.tolist() == [0.5 * 4 * 1, 4 * 1.5, 0.5 * 2]


@pytest.mark.parametrize(
    ("num_targets", "expected"),
    # Where 2,000 are there, 2,000 are asked about: not half of them where one more is there.
    [
        (5, [0, 1, 2, 3, 4]),
        (10_000, list(range(0, 10_000, 5))),
        (4_001, [place * 4_001 // 2_000 for place in range(2_000)]),
        (2_001, list(range(2_000))),
        (0, []),
    ],
)
def test_a_sample_of_targets_is_evenly_spread(num_targets: Any, expected: Any) -> None:
    assert targets.sample_targets(np.arange(num_targets)).tolist() == expected


def test_a_smaller_sample_is_of_all_users_too() -> None:
    assert targets.sample_targets(np.arange(1_000), most=4).tolist() == [0, 250, 500, 750]
