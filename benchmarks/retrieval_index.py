"""Latency and recall of the partitioned index beside exact search, on clustered random embeddings.

python -m benchmarks.retrieval_index [--candidates 10000 100000 1000000] [--partitions N] [--probes N]
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import results

SIZE, K, NUM_QUERIES, NUM_CLUSTERS = 64, 100, 256, 2_000


def embeddings(num_candidates: int, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Candidates around many centres, as learnt embeddings lie, and queries that each seek such a place."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((NUM_CLUSTERS, SIZE), np.float32)

    def draw(count: int) -> npt.NDArray[np.float32]:
        noise = generator.standard_normal((count, SIZE), np.float32)
        return centres[generator.integers(NUM_CLUSTERS, size=count)] + np.float32(0.7) * noise

    return np.concatenate([np.zeros((1, SIZE), np.float32), draw(num_candidates)]), draw(NUM_QUERIES)


def measure(num_candidates: int, num_partitions: int | None, num_probes: int) -> dict[str, float]:
    """Figures of one size."""
    import tensorflow as tf

    from models.retrieval import exact_index, partitioned_index

    table, queries = embeddings(num_candidates)
    num_partitions = num_partitions or round(math.sqrt(num_candidates))
    exact = exact_index.ExactIndex(table)
    start = time.perf_counter()
    partitioned = partitioned_index.PartitionedIndex(table, num_partitions, num_probes)
    figures = {"build_seconds": time.perf_counter() - start}
    stored = sum(variable.numpy().nbytes for variable in partitioned.variables)
    figures["memory_ratio"] = stored / table.nbytes
    found = {}
    for name, index in (("exact", exact), ("partitioned", partitioned)):
        search = tf.function(index.search, autograph=False)
        for batch in (1, 32):
            figures[f"{name}.batch_{batch}.p50_ms"] = 1000 * _median_seconds(search, queries, batch)
        parts = [_search(search, queries[i : i + 32])[1].numpy() for i in range(0, NUM_QUERIES, 32)]
        found[name] = np.concatenate(parts)
    pairs = zip(found["exact"], found["partitioned"], strict=True)
    figures["recall@100"] = float(np.mean([len(np.intersect1d(a, b)) / K for a, b in pairs]))
    for batch in (1, 32):
        exact_ms, ours_ms = (figures[f"{n}.batch_{batch}.p50_ms"] for n in ("exact", "partitioned"))
        figures[f"batch_{batch}.speedup"] = exact_ms / ours_ms
    return {name: round(value, 4) for name, value in figures.items()}


def _search(search: Any, queries: npt.NDArray[np.float32]) -> Any:
    import tensorflow as tf

    return search(tf.constant(queries), tf.zeros((len(queries), 1), tf.int32), tf.constant(K))


def _median_seconds(search: Any, queries: npt.NDArray[np.float32], batch: int, repeats: int = 20) -> float:
    times = []
    for repeat in range(repeats + 3):
        chosen = queries[(np.arange(batch) + repeat * batch) % NUM_QUERIES]
        start = time.perf_counter()
        _search(search, chosen)[0].numpy()
        times.append(time.perf_counter() - start)
    return float(np.median(times[3:]))  # The first calls trace and warm up.


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--partitions", type=int, default=None)
    parser.add_argument("--probes", type=int, default=20)
    arguments, _ = parser.parse_known_args()
    kept: dict[str, float] = {}
    for num_candidates in arguments.candidates:
        figures = measure(num_candidates, arguments.partitions, arguments.probes)
        kept |= {f"{num_candidates}.{name}": value for name, value in figures.items()}
        print(num_candidates, *(f"{name} {value:g}" for name, value in figures.items()), sep="\n  ", flush=True)
    results.merge("retrieval_index", kept)


if __name__ == "__main__":
    main()
