"""Counters of what is hot: a million items, how many events a second, how much memory, and what a page pays.

    python -m benchmarks.hot [--items 1000000] [--events 400000] [--keep]

Events of a Zipf distribution come in batches, as the gateway reads them from its log, and the board is looked at
after each, as it is once a second. A page is the order of the board for one reader with a history of 50 events, whose
vectors are known. Memory is what the process gained, and what of it arrays are. `--keep` writes `results.json`.
"""

from __future__ import annotations

import argparse
import pathlib
import time

import numpy as np

from benchmarks import results
from homefeed.models.hot.blend import Blend
from homefeed.models.hot.board import HALF_LIVES, NEVER, Board, ItemFacts, feature_names

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
    names = feature_names(HALF_LIVES, board.columns)
    blend = Blend(HALF_LIVES, dict.fromkeys(names, 0.1))
    histories = rng.integers(1, num_items + 1, (PAGES, 50))
    began = time.process_time()
    for history in histories:
        np.argsort(-blend.scores(board, look, history), kind="stable")
    page = (time.process_time() - began) / PAGES
    return {
        "items": num_items,
        "events": num_events,
        "events_per_cpu_second": num_events / seconds,
        "look_cpu_ms": looked / (num_events / BATCH) * 1e3,
        "leaders": len(look.rows),
        "page_cpu_us": page * 1e6,
        "memory_mb": (_resident_bytes() - before) / 1e6,
        "arrays_mb": (board.counts.sums.nbytes + 8 * num_items) / 1e6,
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
    results.tell("hot", measure(asked.items, asked.events), keep=asked.keep)


if __name__ == "__main__":
    main()
