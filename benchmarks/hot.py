"""Counters of what is hot: a million items, how many events a second, how much memory, and what a page pays.

    python -m benchmarks.hot [--items 1000000] [--events 400000] [--keep]

Events of a Zipf distribution come in batches, as the gateway reads them from its log, and the board is looked at
after each, as it is once a second. Memory is what the process gained: arrays, and then ids with the table that finds
their rows. `restart` is a gateway of 20,000 items that counts a log of 100,000 events again from its file, and `page`
its lists for one reader with a history of 50 events, whose vectors are known. `--keep` writes `results.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import pathlib
import tempfile
import time

import numpy as np

from benchmarks import results
from homefeed.models.hot.blend import Blend
from homefeed.models.hot.board import HALF_LIVES, NEVER, Board, ItemFacts, feature_names
from homefeed.models.shared import item_vectors
from homefeed.serving.gateway.hot import Hot
from homefeed.serving.gateway.items import Items
from homefeed.serving.profiles import LiveEvent
from homefeed.serving.profiles.published import Item
from homefeed.serving.profiles.stores import FileStore

BATCH = 10_000
PAGES = 500
WIDTH = 64


def made_up(num_items: int, rng: np.random.Generator) -> ItemFacts:
    """Facts of items with a category of 50 and a region of 20; the vectors of those that lead are made when asked."""
    groups = {
        name: rng.integers(1, size + 1, (num_items + 1, 1)).astype(np.int32)
        for name, size in (("categories", 50), ("region", 20))
    }
    table = rng.normal(size=(10_000, WIDTH)).astype(np.float32) / WIDTH**0.5
    return ItemFacts(
        groups, np.full(num_items + 1, NEVER), np.arange(num_items + 1) > 0, lambda rows: table[rows % len(table)]
    )


def measure(num_items: int, num_events: int) -> dict[str, float]:
    """See the module."""
    rng = np.random.default_rng(0)
    facts = made_up(num_items, rng)
    before = _resident_bytes()
    board = Board(facts)
    rows = rng.permutation(num_items)[np.minimum(rng.zipf(1.1, num_events), num_items) - 1] + 1
    spread = rng.random(num_events) < 0.3  # Every item is touched sooner or later.
    rows[spread] = rng.integers(1, num_items + 1, int(spread.sum()))
    at = 1_800_000_000 + np.arange(num_events) // 20_000
    started = time.process_time()
    looked = 0.0
    for start in range(0, num_events, BATCH):
        part = slice(start, start + BATCH)
        board.add(rows[part], at[part])
        began = time.process_time()
        look = board.look(float(at[part][-1]))
        looked += time.process_time() - began
    seconds = time.process_time() - started
    gained = _resident_bytes() - before
    before = _resident_bytes()
    ids = [f"item-{row}" for row in range(num_items)]
    known = {item_id: row for row, item_id in enumerate(ids)}
    return {
        "items": num_items,
        "events": num_events,
        "events_per_cpu_second": num_events / seconds,
        "look_cpu_ms": looked / (num_events / BATCH) * 1e3,
        "leaders": len(look.rows),
        "memory_mb": gained / 1e6,
        "arrays_mb": (board.counts.sums.nbytes + 8 * len(known)) / 1e6,
        "ids_mb": (_resident_bytes() - before) / 1e6,
    }


async def measure_gateway(
    folder: pathlib.Path, num_items: int = 20_000, num_events: int = 100_000
) -> dict[str, float]:
    """See the module."""
    rng = np.random.default_rng(0)
    ids = [f"item-{row}" for row in range(num_items)]
    cards = ({"categories": [f"c{row % 30}"], "region": f"r{row % 9}"} for row in range(num_items))
    items = Items(Item(item_id, item_id, card, 0) for item_id, card in zip(ids, cards, strict=True))
    named = np.array([item_id.encode() for item_id in ids], object)
    item_vectors.write(folder, named, rng.normal(size=(num_items, WIDTH)))
    now = int(time.time())
    rows = (np.minimum(rng.zipf(1.1, num_events), num_items) - 1).tolist()
    ages = rng.integers(7 * 86_400, size=num_events).tolist()
    events = [
        LiveEvent(str(n), f"u{n % 5_000}", "view", now - age, now * 1000, ids[row])
        for n, (row, age) in enumerate(zip(rows, ages, strict=True))
    ]
    store = FileStore(folder / "live.sqlite", lambda *_: None, 10)
    for start in range(0, num_events, 500):
        await store.append(events[start : start + 500])
    hot, names = Hot(store), feature_names(HALF_LIVES, ["categories", "region"])
    await hot.take_over(items, item_vectors.ItemVectors(folder), Blend(HALF_LIVES, dict.fromkeys(names, 0.1)))
    began = time.process_time()
    await hot.follow()
    restart = time.process_time() - began
    histories = [[ids[row] for row in rows] for rows in rng.integers(0, num_items, (PAGES, 50)).tolist()]
    began = time.process_time()
    for history in histories:
        hot.lists(history, frozenset(history))
    page = (time.process_time() - began) / PAGES
    began = time.process_time()
    await hot.follow()
    second = time.process_time() - began
    await store.close()
    return {
        "restart_events_per_cpu_second": num_events / restart,
        "page_cpu_us": page * 1e6,
        "quiet_second_cpu_ms": second * 1e3,
    }


def _resident_bytes() -> int:
    pages = pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4_096


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--keep", action="store_true")
    asked, _ = parser.parse_known_args()
    figures = measure(asked.items, asked.events)
    with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as folder:
        figures |= asyncio.run(measure_gateway(pathlib.Path(folder)))
    results.tell("hot", figures, keep=asked.keep)


if __name__ == "__main__":
    main()
