"""Latency and recall of the partitioned index beside exact search, and beside ScaNN where that is installed.

    python -m benchmarks.retrieval_index [--candidates 10000 100000 1000000] [--data clustered towers gaussian]

`clustered`: 2,000 equal clusters. `towers`: uneven clusters in a falling spectrum with long and short vectors, as
trained towers give. `gaussian`: no structure at all, which no partition can use. Queries are drawn as candidates
are; others than those measured with choose the number of probes. Exact search is one product and one top-k, on
the same table in the same process.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import results

SIZE, K, NUM_QUERIES = 64, 100, 256
KINDS = ("clustered", "towers", "gaussian")
MIN_SCANN = 1_000  # Candidates: ScaNN's partitioner wants more than a handful.
Floats = npt.NDArray[np.float32]


def draw(kind: str, generator: np.random.Generator) -> Callable[[int], Floats]:
    """A source of vectors of one kind."""
    if kind == "gaussian":
        return lambda count: generator.standard_normal((count, SIZE), np.float32)
    if kind == "clustered":
        places = generator.standard_normal((2_000, SIZE), np.float32)

        def clustered(count: int) -> Floats:
            noise = generator.standard_normal((count, SIZE), np.float32)
            return places[generator.integers(len(places), size=count)] + np.float32(0.7) * noise

        return clustered
    spectrum = (1 + np.arange(SIZE)) ** -0.5
    scale = (spectrum / np.sqrt((spectrum**2).mean())).astype(np.float32)
    shares = (1 + np.arange(1_000)) ** -0.7
    centres = generator.standard_normal((len(shares), SIZE), np.float32)

    def towers(count: int) -> Floats:
        noise = generator.standard_normal((count, SIZE), np.float32)
        lengths = generator.lognormal(0, 0.2, (count, 1)).astype(np.float32)
        chosen = generator.choice(len(shares), count, p=shares / shares.sum())
        return lengths * np.float32(0.7) * scale * (centres[chosen] + noise)

    return towers


def measure(kind: str, num_candidates: int, num_partitions: int = 0) -> dict[str, float]:
    """Figures of one size."""
    import tensorflow as tf

    from homefeed.models.retrieval.index import partitioned_index

    source = draw(kind, np.random.default_rng(0))
    table = np.concatenate([np.zeros((1, SIZE), np.float32), source(num_candidates)])
    queries, sample = source(NUM_QUERIES), source(NUM_QUERIES // 2)
    start = time.perf_counter()
    partitioned = partitioned_index.PartitionedIndex(table, num_partitions=num_partitions)
    figures = {"build_seconds": time.perf_counter() - start}
    partitioned.choose_probes(sample)
    figures |= {"partitions": float(partitioned.num_partitions), "probes": float(partitioned.num_probes)}
    stored = sum(variable.numpy().nbytes for variable in partitioned.variables)
    figures["memory_ratio"] = stored / table.nbytes
    search = tf.function(partitioned.search, autograph=False)
    methods = {
        "exact": _brute_force(table),
        "partitioned": lambda asked: search(asked, tf.zeros((len(asked), 1), tf.int32), tf.constant(K)),
    }
    found = {}
    for name, method in methods.items():
        for batch in (1, 32):
            figures[f"{name}.batch_{batch}.p50_ms"] = 1000 * _median_seconds(method, queries, batch)
        parts = [method(tf.constant(queries[i : i + 32]))[1].numpy() for i in range(0, NUM_QUERIES, 32)]
        found[name] = np.concatenate(parts)
    figures["partitioned.recall@100"] = _recall(found["exact"], found["partitioned"])
    if num_candidates >= MIN_SCANN:
        figures |= _scann(table, queries, found["exact"])
    for name in ("partitioned", "scann"):
        for batch in (1, 32):
            if f"{name}.batch_{batch}.p50_ms" in figures:
                exact_ms = figures[f"exact.batch_{batch}.p50_ms"]
                figures[f"{name}.batch_{batch}.speedup"] = exact_ms / figures[f"{name}.batch_{batch}.p50_ms"]
    return {name: round(value, 4) for name, value in figures.items()}


def _brute_force(table: Floats) -> Callable[[Any], Any]:
    import tensorflow as tf

    candidates = tf.Variable(table[1:])

    def search(queries: Any) -> Any:
        scores, rows = tf.math.top_k(tf.matmul(queries, candidates, transpose_b=True), K)
        return scores, rows + 1

    return tf.function(search, autograph=False)


def _scann(table: Floats, queries: Floats, exact: npt.NDArray[np.int32]) -> dict[str, float]:
    """ScaNN with its documentation's settings; nothing where it is not installed."""
    import tensorflow as tf

    try:
        from scann import scann_ops_pybind
    except ImportError:
        return {}
    start = time.perf_counter()
    size = len(table) - 1
    leaves = round(math.sqrt(size))
    builder = scann_ops_pybind.builder(table[1:], K, "dot_product")
    builder = builder.tree(leaves, max(1, leaves // 20), training_sample_size=min(size, 250_000))
    index = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(500).build()
    figures = {"scann.build_seconds": time.perf_counter() - start}

    def search(asked: Any) -> Any:
        rows, scores = index.search_batched(np.asarray(asked))
        return tf.constant(scores), tf.constant(rows.astype(np.int32) + 1)

    for batch in (1, 32):
        figures[f"scann.batch_{batch}.p50_ms"] = 1000 * _median_seconds(search, queries, batch)
    found = [search(tf.constant(queries[i : i + 32]))[1].numpy() for i in range(0, NUM_QUERIES, 32)]
    return figures | {"scann.recall@100": _recall(exact, np.concatenate(found))}


def _recall(exact: npt.NDArray[np.int32], found: npt.NDArray[np.int32]) -> float:
    return float(np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(exact, found, strict=True)]))


def _median_seconds(search: Callable[[Any], Any], queries: Floats, batch: int, repeats: int = 20) -> float:
    import tensorflow as tf

    times = []
    for repeat in range(repeats + 3):
        chosen = tf.constant(queries[(np.arange(batch) + repeat * batch) % NUM_QUERIES])
        start = time.perf_counter()
        search(chosen)[0].numpy()
        times.append(time.perf_counter() - start)
    return float(np.median(times[3:]))  # The first calls trace and warm up.


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--data", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--partitions", type=int, default=0)
    arguments, _ = parser.parse_known_args()
    for kind in arguments.data:
        for num_candidates in arguments.candidates:
            figures = measure(kind, num_candidates, arguments.partitions)
            lines = (f"{name} {value:g}" for name, value in figures.items())
            print(kind, num_candidates, *lines, sep="\n  ", flush=True)
            results.merge(f"retrieval_index.{kind}.{num_candidates}", figures)


if __name__ == "__main__":
    main()
