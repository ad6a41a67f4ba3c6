"""Which events are for training, evaluation and test: by time, by user, each user's last ones, or at random."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts.types import SPLITS

SplitMethod = Literal["temporal", "leave_one_out", "hash", "random"]
Ints = npt.NDArray[np.int64]

MIN_LEAVE_ONE_OUT = 5
MAX_ALONE = 0.01  # Of the events: a few that are long after all others are a wrong clock's.


@dataclasses.dataclass(frozen=True)
class SplitRule:
    """How a log is split, as Config describes it."""

    method: SplitMethod
    eval_fraction: float
    test_fraction: float
    retention_days: int
    eval_from: int | None = None  # Unix seconds, of `temporal`: they take the place of the fractions.
    test_from: int | None = None

    def wanted(self) -> list[str]:
        """The splits that are to have events."""
        is_dated = self.method == "temporal" and self.eval_from is not None
        asked = (True, is_dated or self.eval_fraction > 0, is_dated or self.test_fraction > 0)
        everything = self.method == "leave_one_out"
        return [split for split, wanted in zip(SPLITS, asked, strict=True) if wanted or everything]

    def said(self) -> str:
        """The settings that make it."""
        said = [f"example_gen.split={self.method}"]
        if self.retention_days:
            said.append(f"example_gen.retention_days={self.retention_days}")
        if self.eval_from is not None and self.test_from is not None:
            dates = (
                f"{datetime.datetime.fromtimestamp(t, datetime.UTC):%Y-%m-%d}"
                for t in (self.eval_from, self.test_from)
            )
            said += [f"example_gen.{name}_from={date}" for name, date in zip(SPLITS[1:], dates, strict=True)]
        return ", ".join(said)

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


def newest_alone(seconds: Ints, counts: Ints, rule: SplitRule) -> str:
    """What is wrong where retention would leave a hundredth of the events or one, long after all others; or nothing.

    Args:
        seconds: as of `find_cuts`.
        counts: as of `find_cuts`.
        rule: how old an event may be.
    """
    retention = rule.retention_days * 86_400
    first_kept = int(np.searchsorted(seconds, seconds[-1] - retention))
    num_kept, num_events = int(counts[first_kept:].sum()), int(counts.sum())
    is_few = num_kept <= max(1, MAX_ALONE * num_events)
    if not retention or not first_kept or not is_few or seconds[first_kept] - seconds[first_kept - 1] <= retention:
        return ""
    days = (seconds[first_kept] - seconds[first_kept - 1]) // 86_400
    newest = datetime.datetime.fromtimestamp(int(seconds[-1]), datetime.UTC)
    return (
        f"interactions: example_gen.retention_days={rule.retention_days} would leave {num_kept:,} of {num_events:,} "
        f"events, the newest of {newest:%Y-%m-%d}, {days:,} days after all others, as if by a wrong clock: correct "
        "or remove these."
    )


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
    if rule.eval_from is not None and rule.test_from is not None:
        return Cuts(rule.eval_from, rule.test_from, since)
    before = np.cumsum(counts)
    # The event at rank r (from 0) is the first one after the cut. Rounded: 0.8 is slightly more in binary.
    ranks = [int(round(fraction * before[-1], 6)) for fraction in rule.edges]
    starts = np.append(seconds, seconds[-1] + 1)  # The last one: of a split without a share.
    at_eval, at_test = (int(starts[np.searchsorted(before, rank, side="right")]) for rank in ranks)
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
    if rule.method == "random":  # By user and place, so that a later run parts the same events alike.
        places = (f"{user} {n}" for user, number in zip(user_ids, lengths, strict=True) for n in range(number))
        return np.digitize([unit_hash(place) for place in places], rule.edges).astype(np.int8)
    where = np.array([unit_hash(user_id) for user_id in user_ids])
    return np.repeat(np.digitize(where, rule.edges), lengths).astype(np.int8)


def unit_hash(name: str) -> float:
    """A place in [0, 1) that depends on nothing but the name."""
    digest = hashlib.blake2b(name.encode("utf-8"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48
