"""Sequences as fixed-size windows: what the retrieval model trains and is evaluated on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models import sequences as sequence_module
from homefeed.models.retrieval.training.targets import target_weights
from homefeed.models.shared.request_specs import OF_CONTEXT, OF_EVENTS

Sequences = sequence_module.Sequences
_STEP = 16  # Events, by which the lengths of batches differ.
_STEPS = 16  # Of an epoch, at least, before batches of short windows hold more of them: small data want the steps.
Batch = dict[str, npt.NDArray[Any]]


class Windows:
    """Draws windows of at most `length` events from Sequences.

    A window is a dict: `item` [batch, length] int32 rows of the catalogue (0: padding, last), `timestamp` and
    `history_<feature>` of the same shape, `weight` [batch, length] float32 of each event as a target; of the query
    after the last event `now` [batch] int64, when it is asked (0: never), and `context_<feature>` [batch]; and
    `user_<feature>` [batch, num_values].

    Args:
        sequences: a split.
        length: events a window.
        weights: [num_events] float32 of each event as a target; None: 1 for every target.
    """

    def __init__(self, sequences: Sequences, length: int, weights: npt.NDArray[np.float32] | None = None):
        self.length = length
        self.row_splits = sequences.row_splits
        self.timestamp = sequences.timestamp
        self._events: Batch = {
            "item": sequences.item_index,
            "timestamp": sequences.timestamp,
            "weight": target_weights(sequences) if weights is None else weights,
        }
        self._events |= {f"{OF_EVENTS}{name}": column for name, column in sequences.event_features.items()}
        self._context = {f"{OF_CONTEXT}{name}": f"{OF_EVENTS}{name}" for name in sequences.context_names}
        self._users = {f"user_{k}": v for k, v in (sequences.categorical | sequences.numeric).items()}
        self.targets = np.flatnonzero(self._events["weight"] > 0)

    def num_batches(self, generator: np.random.Generator, batch_size: int) -> int:
        """How many batches an epoch has, but for a few: histories are cut at random."""
        starts, stops, _ = self._cut(generator)
        return sum(1 for _ in self._batches(self._padded(stops - starts), generator, batch_size))

    def epoch(
        self, generator: np.random.Generator, batch_size: int, max_batches: int | None = None
    ) -> Iterator[Batch]:
        """Cuts every history at random places, so that each event is a target once; shuffled, padded batches.

        Windows of like length share a batch, which is as long as its longest, in steps of 16. It has `batch_size`
        windows, or as many times more as the longest window is longer: a step costs the same. Small data keep their
        steps instead. Of more than `max_batches`, so many are drawn.
        """
        starts, stops, users = self._cut(generator)
        order = self._order_within_ties(generator)
        length = self._padded(stops - starts)
        batches = list(self._batches(length, generator, batch_size))
        for index in generator.permutation(len(batches))[:max_batches]:
            chosen, num_rows = batches[index]
            chosen = generator.permutation(chosen)
            longest = int(length[chosen].max())
            yield self._gather(starts[chosen], stops[chosen], users[chosen], longest, num_rows, order)

    def queries(self, targets: npt.NDArray[np.int64], batch_size: int) -> Iterator[Batch]:
        """For each target event, the window of what came before it, in the order given."""
        users = np.searchsorted(self.row_splits, targets, side="right") - 1
        starts = np.maximum(self.row_splits[users], targets - self.length)
        for i in range(0, len(targets), batch_size):
            part = slice(i, i + batch_size)
            batch = self._gather(starts[part], targets[part], users[part], self.length, batch_size, None)
            asked = targets[part]
            batch["now"][: len(asked)] = self.timestamp[asked]
            for name, of_event in self._context.items():
                batch[name][: len(asked)] = self._events[of_event][asked]
            yield batch

    def items(self, targets: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """The rows of target events."""
        return self._events["item"][targets]

    def histories(self, targets: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int32]]:
        """For each target event, the rows of everything that came before it."""
        starts = self.row_splits[np.searchsorted(self.row_splits, targets, side="right") - 1]
        return [self._events["item"][a:b] for a, b in zip(starts, targets, strict=True)]

    def _padded(self, length: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.minimum(self.length, -(-length // _STEP) * _STEP)

    def _batches(
        self, length: npt.NDArray[np.int64], generator: np.random.Generator, batch_size: int
    ) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
        """Which windows share a batch, and its number of rows; what does not fill one is put with longer ones."""
        left, num_rows = np.empty(0, np.int64), batch_size
        most = len(length) // (batch_size * _STEPS)
        for longest in np.unique(length):
            num_rows = batch_size * max(1, min(most, self.length // int(longest)))
            windows = np.concatenate([left, generator.permutation(np.flatnonzero(length == longest))])
            whole = len(windows) // num_rows * num_rows
            left = windows[whole:]
            yield from ((batch, num_rows) for batch in windows[:whole].reshape(-1, num_rows))
        if len(left):
            yield left, num_rows

    def _cut(self, generator: np.random.Generator) -> tuple[npt.NDArray[np.int64], ...]:
        """Where windows start and stop, and whose they are; a user's first one has 1 to `length` events, evenly."""
        users = np.flatnonzero(np.diff(self.row_splits))
        first, last = self.row_splits[users], self.row_splits[users + 1]
        cut = first + generator.integers(1, self.length + 1, len(users))
        num_cuts = np.maximum(-((cut - last) // self.length), 0)
        users = np.repeat(users, num_cuts + 1)
        place = np.arange(len(users)) - np.repeat(np.cumsum(num_cuts + 1) - num_cuts - 1, num_cuts + 1)
        first, last, cut = (np.repeat(of_user, num_cuts + 1) for of_user in (first, last, cut))
        starts = np.where(place, cut + (place - 1) * self.length, first)
        return starts, np.minimum(cut + place * self.length, last), users

    def _order_within_ties(self, generator: np.random.Generator) -> npt.NDArray[np.int64]:
        """A permutation of the events that shuffles only what one user did within the same second."""
        user = np.repeat(np.arange(len(self.row_splits) - 1), np.diff(self.row_splits))
        return np.lexsort((generator.random(len(user)), self.timestamp, user))

    def _gather(
        self,
        starts: npt.NDArray[np.int64],
        stops: npt.NDArray[np.int64],
        users: npt.NDArray[np.int64],
        length: int,
        num_rows: int,
        order: npt.NDArray[np.int64] | None,
    ) -> Batch:
        missing = num_rows - len(starts)
        starts, stops, users = (np.pad(part, (0, missing)) for part in (starts, stops, users))
        stops[num_rows - missing :] = starts[num_rows - missing :]
        places = starts[:, None] + np.arange(length)
        inside = places < stops[:, None]
        places = np.where(inside, places, 0)
        if order is not None:
            places = order[places]
        batch: Batch = {
            name: np.where(inside, column[places], column.dtype.type(0)) for name, column in self._events.items()
        }
        # Padding keeps the last time, so that no elapsed time is negative or absurd.
        batch["timestamp"] = np.maximum.accumulate(batch["timestamp"], axis=1)
        batch["now"] = np.zeros(num_rows, np.int64)
        for name, of_event in self._context.items():
            dtype = self._events[of_event].dtype
            batch[name] = np.full(num_rows, np.nan if np.issubdtype(dtype, np.floating) else 0, dtype)
        return batch | {name: column[users] for name, column in self._users.items()}
