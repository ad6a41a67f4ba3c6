import dataclasses
import time

import numpy as np
import pytest

from homefeed.components.evaluator.queries import make_queries
from tests.toy_data import toy_sequences


def test_a_query_is_an_event_of_the_split_on_a_known_item_that_is_new_to_the_user() -> None:
    sequences = toy_sequences(3, num_history=2)
    # Users have 3, 4 and 5 events: 1, 2 and 3 of them in the split.
    sequences.item_index[:] = [1, 2, 3, 1, 2, 1, 4, 5, 6, 7, 0, 5]
    queries = make_queries(sequences, 100)
    found = {(row, end, target) for row, end, target in zip(queries.rows, queries.ends, queries.targets, strict=True)}
    assert found == {(0, 2, 3), (1, 6, 4), (2, 9, 7)}
    (longest,) = (h for h, row in zip(queries.histories, queries.rows, strict=True) if row == 1)
    assert longest.tolist() == [1, 2, 1]


def test_queries_of_equal_histories_stand_side_by_side() -> None:
    queries = make_queries(toy_sequences(4, num_items=40), 100)
    lengths = [len(history) for history in queries.histories]
    assert lengths == sorted(lengths) and len(queries) == 3 + 4 + 5 + 6
    for row, end, history in zip(queries.rows, queries.ends, queries.histories, strict=True):
        start = (0, 3, 7, 12)[row]
        assert len(history) == end - start


@pytest.mark.parametrize(("limit", "places"), [(4, [0, 8, 16, 24]), (1, [0]), (25, range(25)), (0, [])])
def test_a_large_split_is_sampled_evenly(limit: int, places: list[int]) -> None:
    sequences = toy_sequences(5, num_items=40)  # 3 + 4 + 5 + 6 + 7 events.
    queries = make_queries(sequences, limit)
    assert sorted(queries.ends.tolist()) == list(places) and queries.num_possible == 25
    assert queries.targets.tolist() == sequences.item_index[queries.ends].tolist()


def test_long_histories_cost_no_more_than_their_length() -> None:
    """Each event looked for in all before it were 10¹⁰ steps."""
    one = toy_sequences(1)
    num_events = 200_000
    long = dataclasses.replace(
        one,
        row_splits=np.array([0, num_events]),
        num_history=np.array([num_events // 2]),
        item_index=np.arange(1, num_events + 1, dtype=np.int32),
    )
    started = time.process_time()
    queries = make_queries(long, 50)
    assert len(queries) == 50 and queries.num_possible == num_events // 2
    assert time.process_time() - started < 1


def test_a_split_of_nobody_asks_nothing() -> None:
    queries = make_queries(toy_sequences(0), 10)
    assert len(queries) == 0 and queries.histories == [] and queries.targets.dtype == np.int64
