"""A small site whose readers choose by category: half of what is there now is of theirs."""

from __future__ import annotations

import itertools

import numpy as np

from homefeed.models.hot.board import ItemFacts
from homefeed.models.sequences import Sequences

NUM_ITEMS, NUM_READERS, NUM_EVENTS, NUM_GROUPS, LIVE = 180, 30, 1_500, 5, 40
START = 1_700_000_000


def make_readers() -> tuple[ItemFacts, Sequences, Sequences, Sequences]:
    """Facts of the items, and the splits by time: 60, 20 and 20%."""
    rng = np.random.default_rng(3)
    groups = np.concatenate([[0], rng.integers(1, NUM_GROUPS + 1, NUM_ITEMS)]).astype(np.int32)
    user, item = rng.integers(NUM_READERS, size=NUM_EVENTS), np.zeros(NUM_EVENTS, np.int32)
    taken = set[tuple[int, int]]()
    for n in range(NUM_EVENTS):
        newest = 1 + LIVE + n * (NUM_ITEMS - LIVE) // NUM_EVENTS
        there = [row for row in range(newest - LIVE, newest) if (user[n], row) not in taken]
        liked = [row for row in there if groups[row] == 1 + user[n] % NUM_GROUPS]
        item[n] = rng.choice(liked if liked and rng.random() < 0.9 else there or [newest])
        taken.add((user[n], int(item[n])))
    at = START + np.arange(NUM_EVENTS) * 60
    never = np.full(NUM_ITEMS + 1, np.iinfo(np.int64).min)
    nothing = np.zeros((NUM_ITEMS + 1, 0), np.float32)
    facts = ItemFacts(
        {"categories": groups[:, None]}, never, np.arange(NUM_ITEMS + 1) > 0, lambda rows: nothing[rows]
    )
    cuts = [0, NUM_EVENTS * 6 // 10, NUM_EVENTS * 8 // 10, NUM_EVENTS]
    train, evaluation, test = (_split(user, item, at, start, stop) for start, stop in itertools.pairwise(cuts))
    return facts, train, evaluation, test


def _split(user: np.ndarray, item: np.ndarray, at: np.ndarray, start: int, stop: int) -> Sequences:
    order = np.lexsort((np.arange(stop), user[:stop]))
    counts, before = (np.bincount(user[:end], minlength=NUM_READERS) for end in (stop, start))
    return Sequences(
        user_ids=np.array([f"u{n}".encode() for n in range(NUM_READERS)], object),
        row_splits=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        num_history=before.astype(np.int64),
        item_index=item[order],
        timestamp=at[order].astype(np.int64),
        event_categorical={},
        event_numeric={},
        event_vocabularies={},
        positive=np.ones(stop, bool),
        categorical={},
        numeric={},
        vocabularies={},
        inputs={},
    )
