"""Which index a catalogue is searched with: the exact one, or where that is slower a partitioned one."""

from __future__ import annotations

import dataclasses
import time
from typing import Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.retrieval.index.exact_index import ExactIndex
from homefeed.models.retrieval.index.partitioned_index import CUT_OFF, PartitionedIndex

Floats = npt.NDArray[np.float32]
Index = ExactIndex | PartitionedIndex
Kind = Literal["auto", "exact", "partitioned"]

MIN_ITEMS = 20_000  # Up to here exact search takes a millisecond, and nothing is measured.
MIN_RECALL = 0.95  # Of the exact 100 best, for queries that did not choose the number of probes.
MIN_SPEEDUP = 1.25  # Less is not worth an approximation, and is within the noise of a machine.
TUNING_QUERIES = 200  # By which a partitioned index chooses its number of probes, and is measured.
_TIMED, _ROUNDS = 20, 5


@dataclasses.dataclass(frozen=True)
class Choice:
    """An index, and what was measured of it, in words; "": nothing had to be."""

    index: Index
    measured: str = ""


def choose(
    kind: Kind, embeddings: Floats, available_from: npt.NDArray[np.int64] | None, sample: Floats, seed: int
) -> Choice:
    """The index that is asked for, or for `auto` the one that answers single requests faster on this machine.

    Up to MIN_ITEMS `auto` is exact. Beyond, both are built and timed, so that what is chosen may differ from machine
    to machine; it is partitioned where `is_worth` says so.

    Args:
        kind: what is asked for.
        embeddings, available_from: as in ExactIndex.
        sample: [num_queries, size] float32 queries as they will be asked; of fewer than two the candidates stand in.
        seed: of the partitions.
    """
    exact = ExactIndex(embeddings, available_from)
    if kind == "exact" or (kind == "auto" and len(embeddings) - 1 <= MIN_ITEMS):
        return Choice(exact)
    index = PartitionedIndex(embeddings, available_from, seed=seed)
    queries = _queries(embeddings, sample)
    if kind == "partitioned":
        return Choice(index, f"partitioned index (recall {index.choose_probes(queries):.3f})")
    index.choose_probes(queries[::2])
    recall, (slow, quick) = recall_of(index, exact, queries[1::2]), seconds_of((exact, index), queries[1::2])
    chosen = index if is_worth(recall, slow, quick) else exact
    name = "partitioned" if chosen is index else "exact"
    times = f"{1000 * slow:.1f} ms exact, {1000 * quick:.1f} ms partitioned, recall {recall:.3f}"
    return Choice(chosen, f"{name} index ({times})")


def is_worth(recall: float, exact_seconds: float, partitioned_seconds: float) -> bool:
    """Whether a partitioned index finds enough, and is enough faster."""
    return recall >= MIN_RECALL and exact_seconds >= MIN_SPEEDUP * partitioned_seconds


def recall_of(index: Index, exact: ExactIndex, queries: Floats) -> float:
    """The share of the exact CUT_OFF best that an index finds, on average; 1 where there is nothing to find."""
    shares = []
    for query in queries:
        best, found = (_search(each, query)[0] for each in (exact, index))
        if (best > 0).any():
            shares.append(float(np.isin(best[best > 0], found).mean()))
    return float(np.mean(shares)) if shares else 1.0


def seconds_of(indexes: tuple[Index, ...], queries: Floats) -> list[float]:
    """Mean seconds of single requests to each index, by turns: of each query the shortest of some, since what else a
    machine does only ever adds."""
    searches = [tf.function(index.search, autograph=False) for index in indexes]
    seen, k = tf.zeros((1, 1), tf.int32), tf.constant(CUT_OFF)
    asked = [(tf.constant(query[None]), seen, k) for query in queries[:_TIMED]]
    shortest = np.full((len(indexes), len(asked)), np.inf)
    for _ in range(1 + _ROUNDS):  # The first traces, and is never the shortest.
        for place, request in enumerate(asked):
            for number, search in enumerate(searches):
                start = time.perf_counter()
                search(*request)[1].numpy()
                shortest[number, place] = min(shortest[number, place], time.perf_counter() - start)
    return [float(seconds) for seconds in shortest.mean(axis=1)]


def _search(index: Index, query: Floats) -> npt.NDArray[np.int32]:
    rows: npt.NDArray[np.int32] = index.search(
        tf.constant(query[None]), tf.zeros((1, 1), tf.int32), tf.constant(CUT_OFF)
    )[1].numpy()
    return rows


def _queries(embeddings: Floats, sample: Floats) -> Floats:
    if len(sample) > 1:  # Half of them choose the number of probes, the others judge.
        return sample[:TUNING_QUERIES]
    places = np.linspace(1, len(embeddings) - 1, min(TUNING_QUERIES, len(embeddings) - 1)).astype(np.int64)
    queries: Floats = embeddings[places]
    return queries
