import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.components.example_gen.splits import Cuts, SplitMethod, SplitRule, assign_splits, find_cuts, unit_hash

RULE = SplitRule("temporal", eval_fraction=0.1, test_fraction=0.1, retention_days=0)
DAY = 86_400


def rule(method: SplitMethod = "temporal", evaluation: float = 0.1, test: float = 0.1, days: int = 0) -> SplitRule:
    return SplitRule(method, evaluation, test, days)


def test_events_of_one_second_are_never_parted() -> None:
    cuts = find_cuts(np.array([10, 20, 30]), np.array([7, 2, 1]), RULE)
    assert (cuts.eval, cuts.test) == (20, 30)  # Rank 8 of 10 is at 20, rank 9 at 30: 7 train, 2 eval, 1 test.
    cuts = find_cuts(np.array([10, 20]), np.array([9, 1]), RULE)
    assert (cuts.eval, cuts.test) == (11, 20)  # Rank 8 is at 10, but the earliest second trains.
    cuts = find_cuts(np.array([5]), np.array([3]), RULE)
    assert cuts.eval == 6


@pytest.mark.parametrize(
    ("evaluation", "test", "expected"),
    [
        (0.1, 0.1, (80, 90)),  # Of 100 events at 0 … 99, ranks 80 and 90 are the first ones after the cuts.
        (0.2, 0.1, (70, 90)),
        (0.3, 0.4, (30, 60)),  # 1 - 0.3 - 0.4 is 0.30000000000000004 in binary: rounded to rank 30.
        (0.0, 0.5, (50, 50)),  # Nothing is for eval.
    ],
)
def test_fractions_are_of_the_events(evaluation: float, test: float, expected: tuple[int, int]) -> None:
    cuts = find_cuts(np.arange(100), np.ones(100, np.int64), rule(evaluation=evaluation, test=test))
    assert (cuts.eval, cuts.test) == expected


def test_old_events_do_not_count_in_the_fractions() -> None:
    # Kept are the ten days up to day 19; of these ten events rank 8 is day 18 and rank 9 is day 19.
    seconds = np.arange(20) * DAY
    cuts = find_cuts(seconds, np.full(20, 3), rule(days=9))
    assert cuts == Cuts(eval=18 * DAY, test=19 * DAY, since=10 * DAY)
    assert find_cuts(seconds, np.full(20, 3), RULE).since is None


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 50)), min_size=1, max_size=40, unique_by=lambda x: x[0]),
    st.floats(0.01, 0.4),
    st.floats(0.01, 0.4),
)
def test_no_event_before_a_cut_is_in_a_later_split(
    bins: list[tuple[int, int]], evaluation: float, test: float
) -> None:
    seconds, counts = np.array(sorted(bins)).T
    cuts = find_cuts(seconds, counts, rule(evaluation=evaluation, test=test))
    assert seconds[0] < cuts.eval <= cuts.test
    total = counts.sum()
    # The later splits are as large as wanted, but for the events of the seconds of the cuts and of the first one.
    assert counts[seconds >= cuts.test].sum() <= test * total + counts.max() + 1
    assert counts[seconds < cuts.eval].sum() <= max((1 - evaluation - test) * total, counts[0]) + 1


ROW_SPLITS = np.array([0, 4, 9, 15])  # Three users of 4, 5 and 6 events.
TIMES = np.arange(15)


def test_time_decides_whoever_it_was() -> None:
    assigned = assign_splits("abc", ROW_SPLITS, TIMES, RULE, Cuts(eval=8, test=13))
    assert assigned.tolist() == [0] * 8 + [1] * 5 + [2] * 2 and assigned.dtype == np.int8


def test_the_last_two_of_who_has_five_are_left_out() -> None:
    assigned = assign_splits("abc", ROW_SPLITS, TIMES, rule("leave_one_out"), None)
    assert assigned.tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 2]


def test_a_hash_keeps_a_user_in_one_split_for_ever() -> None:
    users = [f"user {number}" for number in range(1000)]
    row_splits = np.arange(1001) * 2
    assigned = assign_splits(users, row_splits, np.zeros(2000), rule("hash", 0.2, 0.1), None).reshape(1000, 2)
    assert (assigned[:, 0] == assigned[:, 1]).all()
    counts = np.bincount(assigned[:, 0]) / 1000
    assert counts == pytest.approx([0.7, 0.2, 0.1], abs=0.04)  # Four deviations of 1,000 users.
    # By the hash alone: 0.7 and 0.9 are the edges.
    expected = [sum(unit_hash(user) >= edge for edge in (0.7, 0.9)) for user in users]
    assert assigned[:, 0].tolist() == expected
    assert assign_splits(users[:1], row_splits[:2], np.zeros(2), rule("hash", 0.2, 0.1), None)[0] == expected[0]


def test_a_hash_is_even_and_the_same_everywhere() -> None:
    assert unit_hash("user 1") == 0.4681160980872612
    places = np.array([unit_hash(f"用户{number}") for number in range(2000)])
    assert (places >= 0).all() and (places < 1).all()
    assert np.histogram(places, 4, (0, 1))[0] == pytest.approx([500] * 4, abs=80)


@pytest.mark.parametrize("method", ["temporal", "leave_one_out", "hash"])
def test_no_events_at_all(method: SplitMethod) -> None:
    nothing = np.empty(0, np.int64)
    assert assign_splits([], np.array([0]), nothing, rule(method), None).tolist() == []


def test_a_random_split_parts_the_events_of_a_user() -> None:
    rule = SplitRule("random", 0.2, 0.1, 0)
    row_splits = np.arange(0, 3001, 30)
    users = [f"u{row}" for row in range(100)]
    found = assign_splits(users, row_splits, np.zeros(3000, np.int64), rule, None)
    assert np.bincount(found).tolist() == pytest.approx([2100, 600, 300], abs=75)
    assert all(len(set(found[start : start + 30])) > 1 for start in row_splits[:-1])
    # More events of others change nothing.
    later = assign_splits(users[50:], row_splits[:51], np.zeros(1500, np.int64), rule, None)
    assert (found[1500:] == later).all()
