"""The board of what is hot: which items lead, and what speaks for each of them to a reader."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.catalogue import Catalogue
from homefeed.models.hot.counts import DecayedCounts, Floats, Rows

HALF_LIVES = (1_800.0, 4 * 3_600.0, 86_400.0, 7 * 86_400.0)
LEADERS = 200  # Items that lead by each half-life: they are the candidates.
MAX_GROUPS = 5_000  # Values of a column: one with more, such as an author's name, tells too little of a taste.
MAX_TASTE_EVENTS = 50  # Newest events that a taste is read from.
FADED = 8.0  # Half-lives after which an event need not be counted any more: it counts 0.004.
PRIOR_EVENTS = 2.0  # As many events of everybody are mixed into a reader's own.
NEVER = np.iinfo(np.int64).min

Vectors = Callable[[Rows], npt.NDArray[np.float32]]


@dataclasses.dataclass(frozen=True)
class ItemFacts:
    """What is known of items beside their events; row 0 stands for none.

    Attributes:
        groups: declared column → [num_rows, num_values] int32 codes, 0 for none.
        available_from: [num_rows] int64 Unix seconds; the smallest int64 where nothing is said.
        can_lead: [num_rows] bool, whether an item can be shown.
        vectors: rows → [n, width] float32 of length 1, or 0 where nothing is known.
    """

    groups: Mapping[str, npt.NDArray[np.int32]]
    available_from: npt.NDArray[np.int64]
    can_lead: npt.NDArray[np.bool_]
    vectors: Vectors

    @classmethod
    def of(cls, catalogue: Catalogue, vectors: npt.NDArray[np.floating[Any]] | None = None) -> ItemFacts:
        """Those of a catalogue; its declared categories are the columns."""
        table = np.zeros((catalogue.num_rows, 0), np.float32) if vectors is None else vectors
        nothing = np.full(catalogue.num_rows, NEVER)
        return cls(
            {name: codes for name, codes in catalogue.categorical.items() if codes.max(initial=0) < MAX_GROUPS},
            catalogue.available_from if len(catalogue.available_from) else nothing,
            np.arange(catalogue.num_rows) > 0,
            lambda rows: table[rows].astype(np.float32),
        )


@dataclasses.dataclass(frozen=True)
class Look:
    """The board at a moment: the items that lead, in no order.

    Attributes:
        rows: [num_leaders].
        plain: [num_leaders, …] what is the same for all readers; see `feature_names`.
        groups: column → [num_leaders, num_values] int32.
        shares: column → [num_groups] of all events, faded slowly; of a group without any, a little.
        vectors: [num_leaders, width] float32.
    """

    rows: npt.NDArray[np.int64]
    plain: Floats
    groups: Mapping[str, npt.NDArray[np.int32]]
    shares: Mapping[str, Floats]
    vectors: npt.NDArray[np.float32]


def feature_names(half_lives: Sequence[float], columns: Sequence[str]) -> list[str]:
    """What `Board.features` tells of each leader, in order.

    `hot_<s>`: log(1 + count of half-life s); `share_<column>`: the logarithm of its part in what its group counts,
    both of the second half-life; `age`: the logarithm of its hours; `taste_<column>`: how much more of its group the
    reader takes than everybody, as a logarithm; `likeness`: the cosine to what the reader took.
    """
    return [
        *(f"hot_{half_life:g}" for half_life in half_lives),
        *(f"share_{column}" for column in columns),
        "age",
        *(f"taste_{column}" for column in columns),
        "likeness",
    ]


class Board:
    """Counts of items and of groups, and who leads.

    An item that nobody touches keeps its place among the others that nobody touches, so that only the leaders and
    what was just touched are compared: a board of a million items costs what its events cost.

    Args:
        facts: of the items.
        half_lives: seconds.

    Attributes:
        facts: of the items.
        counts: of the items.
    """

    def __init__(self, facts: ItemFacts, half_lives: Sequence[float] = HALF_LIVES):
        self.counts = DecayedCounts(len(facts.can_lead), half_lives)
        self._first_seen = np.full(len(facts.can_lead), np.inf)
        self.facts = facts
        self._of_groups = self._no_groups()
        self._leaders: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64) for _ in half_lives]

    @property
    def columns(self) -> list[str]:
        """Those that groups are counted by."""
        return list(self.facts.groups)

    def take_over(self, facts: ItemFacts) -> None:
        """Other facts, of more rows or of others; groups are counted anew from what items count."""
        self._make_room(len(facts.can_lead))
        self.facts = facts
        self._of_groups = self._no_groups()
        every = np.flatnonzero(self.counts.sums[-1, : len(facts.can_lead)])
        for column, codes in facts.groups.items():
            for values in codes[every].T:
                self._of_groups[column].take(values, self.counts, every)
        self._leaders = [self._best(place, every) for place in range(len(self._leaders))]

    def add(self, rows: Rows, at: npt.NDArray[Any]) -> None:
        """Counts events of items.

        Args:
            rows: [num_events]; 0: none. One of which there are no facts yet is counted, and leads when there are.
            at: [num_events] Unix seconds.
        """
        rows, at = rows[rows > 0], at[rows > 0]
        if not len(rows):
            return
        self._make_room(int(rows.max()) + 1)
        self.counts.add(rows, at)
        np.minimum.at(self._first_seen, rows, at)
        known = rows < len(self.facts.can_lead)
        rows, at = rows[known], at[known]
        for column, codes in self.facts.groups.items():
            event, value = np.nonzero(codes[rows])
            self._of_groups[column].add(codes[rows][event, value], at[event])
        touched = np.unique(rows)
        for place, leaders in enumerate(self._leaders):
            self._leaders[place] = self._best(place, np.union1d(leaders, touched))

    def look(self, now: float) -> Look:
        """The board as of a time, Unix seconds, not before any event that was added."""
        rows = np.unique(np.concatenate(self._leaders))
        rows = rows[self.facts.available_from[rows] <= now]
        counts = self.counts.as_of(now, rows)
        groups = {column: codes[rows] for column, codes in self.facts.groups.items()}
        shares, parts = {}, []
        for column, codes in groups.items():
            of_groups = self._of_groups[column].as_of(now)
            of_groups[0] = 0.0
            slow = of_groups[:, -1] + 1.0
            shares[column] = slow / slow.sum()
            parts.append(np.log((1 + counts[:, 1]) / (1 + of_groups[codes, 1].max(axis=1))))
        begins = self.facts.available_from[rows]
        since = np.where(begins > NEVER, begins, self._first_seen[rows])
        age = np.log1p(np.maximum(now - since, 0.0) / 3_600)
        plain = np.column_stack([np.log1p(counts), *parts, age])
        return Look(rows, plain, groups, shares, self.facts.vectors(rows))

    def features(self, look: Look, history: Rows) -> Floats:
        """[num_leaders, num_features] as `feature_names` says.

        Args:
            look: of this board.
            history: [num_events] rows that the reader took, oldest first; one without facts says nothing.
        """
        is_known = (history > 0) & (history < len(self.facts.can_lead))
        history = history[is_known][-MAX_TASTE_EVENTS:]
        tastes = [
            _taste(codes, look.shares[name], self.facts.groups[name][history]) for name, codes in look.groups.items()
        ]
        likeness = np.zeros(len(look.rows))
        if len(history) and look.vectors.shape[1]:
            # Not `@`: BLAS would wake its threads for it, which cost more than the product.
            likeness = np.einsum("ij,j->i", look.vectors, self.facts.vectors(history).mean(axis=0))
        return np.column_stack([look.plain, *tastes, likeness])

    def _make_room(self, num_rows: int) -> None:
        self.counts.grow(num_rows)
        missing = self.counts.sums.shape[1] - len(self._first_seen)
        if missing > 0:
            self._first_seen = np.pad(self._first_seen, (0, missing), constant_values=np.inf)

    def _no_groups(self) -> dict[str, DecayedCounts]:
        half_lives = self.counts.half_lives.tolist()
        return {
            column: DecayedCounts(int(codes.max(initial=0)) + 1, half_lives)
            for column, codes in self.facts.groups.items()
        }

    def _best(self, place: int, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Of some rows those that lead by one half-life; ties by row."""
        rows = rows[self.facts.can_lead[rows]]
        if len(rows) <= LEADERS:
            return rows
        sums = self.counts.sums[place, rows]
        bar = np.partition(sums, len(rows) - LEADERS)[len(rows) - LEADERS]
        above = sums > bar
        return np.sort(np.concatenate([rows[above], rows[sums == bar][: LEADERS - above.sum()]]))


def _taste(codes: npt.NDArray[np.int32], shares: Floats, taken: npt.NDArray[np.int32]) -> Floats:
    """[num_leaders] how much more of its groups a reader takes than everybody: 0 for as much, or nothing known."""
    counts = np.bincount(taken.ravel(), minlength=len(shares)).astype(np.float64)
    counts[0] = 0.0
    lift = np.log((counts + PRIOR_EVENTS * shares) / ((counts.sum() + PRIOR_EVENTS) * shares))
    lift[0] = 0.0
    return lift[codes].sum(axis=1) / np.maximum((codes > 0).sum(axis=1), 1)


def replay(board: Board, rows: Rows, at: npt.NDArray[Any], times: npt.NDArray[Any]) -> Iterator[Look]:
    """Looks at a board at moments of a log, each of which knows what happened before it and nothing else.

    Args:
        board: an empty one; it has all events of the log before the last moment in the end.
        rows, at: [num_events] of the log, in any order.
        times: [num_moments] Unix seconds, ascending.

    Yields:
        One look a moment.
    """
    if len(times):  # What has faded need not be sorted.
        counts = at >= times[0] - FADED * board.counts.half_lives.max()
        rows, at = rows[counts], at[counts]
    order = np.argsort(at, kind="stable")
    rows, at = rows[order], at[order]
    ends = np.searchsorted(at, times, side="left")  # What happened in the same second is not known.
    done, look, last = 0, None, None
    for end, now in zip(ends.tolist(), times.tolist(), strict=True):
        if end > done:
            board.add(rows[done:end], at[done:end])
            done = end
        if look is None or now != last:
            look, last = board.look(now), now
        yield look
