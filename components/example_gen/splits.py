"""Which events are for training, evaluation and test: cut by time, by user, or at each user's last ones."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

SplitMethod = Literal["temporal", "leave_one_out", "hash"]
Ints = npt.NDArray[np.int64]

MIN_LEAVE_ONE_OUT = 5


@dataclasses.dataclass(frozen=True)
class SplitRule:
    """How a log is split, as Config describes it."""

    method: SplitMethod
    eval_fraction: float
    test_fraction: float
    retention_days: int

    @property
    def edges(self) -> tuple[float, float]:
        """The parts of the whole at which eval and test begin."""
        return 1 - self.eval_fraction - self.test_fraction, 1 - self.test_fraction


@dataclasses.dataclass(frozen=True)
class Cuts:
    """Unix seconds: events before `eval` train, those before `test` are for eval, the rest for test."""

    eval: int
    test: int
    since: int | None = None  # Events before it are left out.


def find_cuts(seconds: Ints, counts: Ints, rule: SplitRule) -> Cuts:
    """The instants that cut a log at the given fractions of its events.

    Args:
        seconds: [num_bins] Unix seconds, ascending.
        counts: [num_bins] events at each.
        rule: the fractions, and how old an event may be.

    Events of one second are never parted: they all go to the later split. The earliest second always trains.
    """
    since = int(seconds[-1]) - rule.retention_days * 86_400 if rule.retention_days else None
    if since is not None:
        seconds, counts = seconds[seconds >= since], counts[seconds >= since]
    before = np.cumsum(counts)
    # The event at rank r (from 0) is the first one after the cut. Rounded: 0.8 is slightly more in binary.
    ranks = [int(round(fraction * before[-1], 6)) for fraction in rule.edges]
    at_eval, at_test = (int(seconds[np.searchsorted(before, rank, side="right")]) for rank in ranks)
    at_eval = max(at_eval, int(seconds[0]) + 1)
    return Cuts(at_eval, max(at_test, at_eval), since)


def assign_splits(
    user_ids: Iterable[str], row_splits: Ints, timestamps: Ints, rule: SplitRule, cuts: Cuts | None
) -> npt.NDArray[np.int8]:
    """[num_events] positions in SPLITS (train, eval, test).

    Args:
        user_ids: [num_users].
        row_splits: [num_users + 1], user u's events are `[row_splits[u] : row_splits[u + 1]]`, in order.
        timestamps: [num_events] Unix seconds.
        rule: how to split.
        cuts: where, in `temporal`.
    """
    lengths = np.diff(row_splits)
    if not len(timestamps):  # Every row is in quarantine; `check_counts` says why.
        return np.zeros(0, np.int8)
    if rule.method == "temporal":
        assert cuts is not None
        return np.digitize(timestamps, (cuts.eval, cuts.test)).astype(np.int8)
    if rule.method == "leave_one_out":
        splits = np.zeros(len(timestamps), np.int8)
        last = row_splits[1:][lengths >= MIN_LEAVE_ONE_OUT] - 1
        splits[last], splits[last - 1] = 2, 1
        return splits
    where = np.array([unit_hash(user_id) for user_id in user_ids])
    return np.repeat(np.digitize(where, rule.edges), lengths).astype(np.int8)


def unit_hash(user_id: str) -> float:
    """A place in [0, 1) that depends on nothing but the id."""
    digest = hashlib.blake2b(user_id.encode("utf-8"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48
