import numpy as np

from homefeed.components.example_gen.splits import SplitRule, find_cuts

RULE = SplitRule("temporal", eval_fraction=0.1, test_fraction=0.1, retention_days=0)


def test_events_of_one_second_are_never_parted() -> None:
    cuts = find_cuts(np.array([10, 20, 30]), np.array([7, 2, 1]), RULE)
    assert (cuts.eval, cuts.test) == (20, 30)  # Rank 8 of 10 is at 20, rank 9 at 30: 7 train, 2 eval, 1 test.
    cuts = find_cuts(np.array([10, 20]), np.array([9, 1]), RULE)
    assert (cuts.eval, cuts.test) == (11, 20)  # Rank 8 is at 10, but the earliest second trains.
    cuts = find_cuts(np.array([5]), np.array([3]), RULE)
    assert cuts.eval == 6
