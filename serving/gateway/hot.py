"""What is hot now, kept from the events of all users as they arrive."""

from __future__ import annotations

import array
import asyncio
import dataclasses
import hashlib
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.hot.blend import Blend
from homefeed.models.hot.board import MAX_GROUPS, NEVER, Board, ItemFacts, Look
from homefeed.models.hot.counts import Rows
from homefeed.models.shared.item_vectors import ItemVectors
from homefeed.serving.gateway.items import Card, Items
from homefeed.serving.profiles import Store
from homefeed.serving.profiles.live import Happened

NUM_HOT = 100  # Candidates of a page.
NUM_REMEMBERED = 2**20  # Pairs of a person and an item: 8 MB.


@dataclasses.dataclass(frozen=True)
class Hottest:
    """Lists for a page, best first.

    Attributes:
        trending: the same for everybody.
        hot: for one reader.
    """

    trending: Sequence[str] = ()
    hot: Sequence[str] = ()


NOTHING_HOT = Hottest()


class Hot:
    """Follows a store's events; with the same events, catalogue and time it gives the same lists.

    Nothing of it is stored: after a start the log is read again, so that what was acknowledged counts.

    Args:
        store: whose events.
    """

    def __init__(self, store: Store):
        self._store, self._mark = store, ""
        self._ids, self._rows = [""], {"": 0}
        self._remembered = _nothing_remembered()
        self._changing = asyncio.Lock()
        self._blend = Blend()
        self._board = Board(ItemFacts({}, np.array([NEVER]), np.zeros(1, np.bool_), _no_vectors))
        self._look: Look | None = None
        self._trending: list[str] = []

    async def follow(self) -> None:
        """Counts what happened since the last time.

        Raises:
            StoreError: the store is out of reach; what it did not tell is counted the next time.
        """
        async with self._changing:
            async for mark, happened in self._store.happened(self._mark):
                self._add(happened)
                self._mark = mark
                await asyncio.sleep(0)  # Pages are made in between.
            self._look_again()

    async def take_over(self, items: Items, vectors: ItemVectors, blend: Blend) -> None:
        """Another catalogue, and other weights; what was counted stays."""
        async with self._changing:
            if blend.half_lives != self._blend.half_lives:
                self._board, self._mark = Board(self._board.facts, blend.half_lives), ""
                self._remembered = _nothing_remembered()
            facts = await asyncio.to_thread(self._facts, items, vectors, blend)
            self._board.take_over(facts)
            self._blend = blend
            self._look_again()

    def lists(self, history: Iterable[str], excluded: frozenset[str], count: int = NUM_HOT) -> Hottest:
        """What is hot for a reader.

        Args:
            history: items that they took, oldest first; with none both lists are the same.
            excluded: items that must not be shown to them.
            count: how long lists are at most.
        """
        if self._look is None:
            return NOTHING_HOT
        rows = np.array([self._rows.get(item_id, 0) for item_id in history], np.int64)

        def first(ordered: Iterable[str]) -> list[str]:
            return list(itertools.islice((item_id for item_id in ordered if item_id not in excluded), count))

        trending = first(self._trending)
        return Hottest(trending, first(self._order(self._look, rows)) if rows.any() else trending)

    def _order(self, look: Look, history: Rows) -> Iterator[str]:
        scores = self._blend.scores(self._board, look, history)
        return (self._ids[row] for row in look.rows[np.argsort(-scores, kind="stable")].tolist())

    def _look_again(self) -> None:
        self._look = self._board.look(time.time())
        self._trending = list(self._order(self._look, np.empty(0, np.int64)))

    def _add(self, happened: Sequence[Happened]) -> None:
        happened = [one for one in happened if not one.user_id or self._is_new(one)]
        rows = np.array([self._row(one.item_id) for one in happened], np.int64)
        at = np.array([one.at for one in happened], np.float64)
        self._board.add(rows, np.minimum(at, time.time()))  # A clock that is fast makes nothing hotter.

    def _is_new(self, one: Happened) -> bool:
        """Whether this person takes this item for the first time, as far as is remembered: an eager one counts once.

        A pair is remembered until another one has its place.
        """
        pair = hashlib.blake2b(f"{one.user_id}\0{one.item_id}".encode(), digest_size=8).digest()
        number = int.from_bytes(pair)
        place = number % NUM_REMEMBERED
        is_new = self._remembered[place] != number
        self._remembered[place] = number
        return is_new

    def _row(self, item_id: str) -> int:
        """A row for every item that anything happened with: it may be in the next catalogue."""
        if item_id not in self._rows:
            self._rows[item_id] = len(self._ids)
            self._ids.append(item_id)
        return self._rows[item_id]

    def _facts(self, items: Items, vectors: ItemVectors, blend: Blend) -> ItemFacts:
        for item_id in items.cards:
            self._row(item_id)
        cards = [items.cards.get(item_id) for item_id in self._ids]
        columns = [name.removeprefix("taste_") for name in blend.weights if name.startswith("taste_")]
        coded = {column: _codes(cards, column) for column in columns}
        return ItemFacts(
            {column: codes for column, codes in coded.items() if codes.max(initial=0) < MAX_GROUPS},
            np.array([_seconds(card) for card in cards], np.int64),
            np.array([card is not None for card in cards]),
            lambda rows: vectors.of([self._ids[row] for row in rows.tolist()]),
        )


def _nothing_remembered() -> array.array[int]:
    return array.array("Q", bytes(8 * NUM_REMEMBERED))


def _codes(cards: Sequence[Card | None], column: str) -> npt.NDArray[np.int32]:
    """[num_cards, num_values] int32 codes of a column's values, from 1; 0 for none."""
    known: dict[Any, int] = {}
    rows = [
        [known.setdefault(value, len(known) + 1) for value in _values(card.get(column) if card else None)]
        for card in cards
    ]
    codes = np.zeros((len(rows), max([1, *map(len, rows)])), np.int32)
    for row, values in enumerate(rows):
        codes[row, : len(values)] = values
    return codes


def _values(cell: Any) -> list[Any]:
    if cell is None or cell == "":
        return []
    return cell if isinstance(cell, list) else [cell]


def _seconds(card: Mapping[str, Any] | None) -> int:
    found = card.get("available_from") if card else None
    return int(found) if found else NEVER


def _no_vectors(rows: Rows) -> npt.NDArray[np.float32]:
    return np.zeros((len(rows), 0), np.float32)
