"""What a step of retrieval's training costs, by the size of the catalogue: CPU milliseconds.

    python -m benchmarks.step_costs [--items 6000 20000 200000]

On random events. `full`: softmax over the whole catalogue, up to 20,000 items; the others are sampled. `dense`: every
row of the tables of ids is updated at every step, as it is with `strategy: mirrored`; `lazy`: those that the step
read. They take turns, in one process.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from typing import Any
from unittest import mock

import numpy as np

from benchmarks import results

USERS, EVENTS = 2_000, 64
STEPS, ROUNDS = 10, 5
MOST_IN_FULL = 20_000  # Items.


def measure(num_items: int) -> dict[str, float]:
    """Medians of rounds of steps, the ways by turns."""
    learners = {"dense": _learner(num_items, lazy=False), "lazy": _learner(num_items, lazy=True)}
    if num_items <= MOST_IN_FULL:
        learners["full"] = _learner(num_items, max_softmax_items=MOST_IN_FULL)
    rounds: dict[str, list[float]] = {name: [] for name in learners}
    for _ in range(ROUNDS):
        for name, (learner, batches) in learners.items():
            start = time.process_time()
            for batch in batches[1:]:
                learner.step(batch).numpy()
            rounds[name].append(1000 * (time.process_time() - start) / STEPS)
    figures = {f"{name}.step_cpu_ms": float(np.median(found)) for name, found in rounds.items()}
    return figures | {"ratio": figures["dense.step_cpu_ms"] / figures["lazy.step_cpu_ms"]}


def _learner(num_items: int, *, lazy: bool = True, max_softmax_items: int = 0) -> tuple[Any, list[Any]]:
    """A learner that has made its first step, and the batches it is given."""
    from homefeed.models.retrieval.hyperparameters import Hyperparameters
    from homefeed.models.retrieval.towers.two_tower import TwoTower
    from homefeed.models.retrieval.training import fit
    from homefeed.models.retrieval.training.windows import Windows

    config = Hyperparameters(max_softmax_items=max_softmax_items, batch_size=32)
    catalogue, events = _world(num_items)
    _, learner = fit.begin(catalogue, events, config, num_steps=1_000)
    epoch = Windows(events, config.max_events).epoch(np.random.default_rng(1), config.batch_size, STEPS + 1)
    batches = list(epoch)
    tables = contextlib.nullcontext() if lazy else mock.patch.object(TwoTower, "item_tables", [])
    with tables:
        learner.step(batches[0])
    return learner, batches


def _world(num_items: int) -> tuple[Any, Any]:
    """A catalogue in which every item is trained, and random events on it."""
    from homefeed.models.catalogue import Catalogue
    from homefeed.models.sequences import Sequences

    generator = np.random.default_rng(0)
    size = USERS * EVENTS
    events = generator.integers(1, num_items + 1, size).astype(np.int32)
    ids = np.array([b"", *(str(item).encode() for item in range(num_items))], object)
    tokens = generator.integers(1, 8_000, (num_items + 1, 16)).astype(np.int32)
    tokens[0] = 0
    counts = np.append(0, 1 + np.bincount(events - 1, minlength=num_items))
    catalogue = Catalogue(ids, ids, tokens, {}, {}, {}, counts)
    sequences = Sequences(
        user_ids=np.array([str(user).encode() for user in range(USERS)], object),
        row_splits=EVENTS * np.arange(USERS + 1, dtype=np.int64),
        num_history=np.zeros(USERS, np.int64),
        item_index=events,
        timestamp=np.tile(1_700_000_000 + 3_600 * np.arange(EVENTS, dtype=np.int64), USERS),
        event_categorical={},
        event_numeric={},
        event_vocabularies={},
        positive=np.ones(size, bool),
        categorical={},
        numeric={},
        vocabularies={},
        inputs={},
    )
    return catalogue, sequences


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[6_000, 20_000, 200_000])
    arguments, _ = parser.parse_known_args()
    for num_items in arguments.items:
        results.tell(f"step_costs.{num_items}", measure(num_items), keep=True)


if __name__ == "__main__":
    main()
