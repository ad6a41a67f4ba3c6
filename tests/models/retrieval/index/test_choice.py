from typing import Any

import numpy as np
import pytest

from homefeed.models.retrieval.index import choice
from homefeed.models.retrieval.index.exact_index import ExactIndex
from homefeed.models.retrieval.index.partitioned_index import PartitionedIndex

NONE = np.empty((0, 0), np.float32)


def _vectors(num_rows: int, size: int = 3) -> Any:
    return np.random.default_rng(0).normal(size=(num_rows, size)).astype(np.float32)


@pytest.mark.parametrize(("kind", "expected"), [("exact", ExactIndex), ("partitioned", PartitionedIndex)])
def test_what_is_asked_for_is_built(kind: Any, expected: Any) -> None:
    made = choice.choose(kind, _vectors(9), None, NONE, seed=0)
    assert isinstance(made.index, expected)
    assert made.measured == ("" if kind == "exact" else "partitioned index (recall 1.000)")


def test_a_small_catalogue_is_searched_exactly_and_without_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "MIN_ITEMS", 8)
    made = choice.choose("auto", _vectors(9), None, NONE, seed=0)
    assert isinstance(made.index, ExactIndex) and not made.measured
    assert choice.choose("auto", _vectors(10), None, NONE, seed=0).measured


@pytest.mark.parametrize(
    ("recall", "exact", "partitioned", "expected"),
    [(0.95, 0.0125, 0.01, True), (0.94, 1.0, 0.01, False), (1.0, 0.012, 0.01, False), (1.0, 0.01, 0.02, False)],
)
def test_a_partitioned_index_finds_enough_and_is_enough_faster(
    recall: float, exact: float, partitioned: float, expected: bool
) -> None:
    assert choice.is_worth(recall, exact, partitioned) is expected


def test_the_choice_follows_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 600 candidates, exact search is faster by far; where no speed is asked for, the partitions are taken."""
    monkeypatch.setattr(choice, "MIN_ITEMS", 100)
    table = _vectors(601, size=4)
    found = choice.choose("auto", table, None, _vectors(60, size=4), seed=0)
    assert isinstance(found.index, ExactIndex) and found.measured.startswith("exact index (")
    monkeypatch.setattr(choice, "MIN_SPEEDUP", 0.0)
    found = choice.choose("auto", table, None, _vectors(60, size=4), seed=0)
    assert isinstance(found.index, PartitionedIndex) and found.measured.startswith("partitioned index (")
    assert float(found.measured.partition("recall ")[2].rstrip(")")) >= choice.MIN_RECALL


def test_a_single_query_cannot_both_tune_and_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "MIN_ITEMS", 8)
    assert "nan" not in choice.choose("auto", _vectors(10), None, _vectors(1), seed=0).measured


def test_recall_is_the_share_of_the_best_that_is_found() -> None:
    table, queries = _vectors(601, size=4), _vectors(7, size=4)
    index, exact = PartitionedIndex(table, num_partitions=20, num_probes=3), ExactIndex(table)
    shares = []
    for query in queries:
        best = 1 + np.argsort(-(table[1:] @ query))[:100]
        shares.append(np.isin(best, choice._search(index, query)).mean())
    assert 0.2 < np.mean(shares) < 0.99
    assert choice.recall_of(index, exact, queries) == pytest.approx(np.mean(shares), abs=0.002)
    assert choice.recall_of(exact, exact, queries) == 1.0


def test_a_partitioned_index_is_tuned_by_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(PartitionedIndex, "choose_probes", lambda self, queries: (asked.append(queries), 1.0)[1])
    table, sample = _vectors(60), np.ones((300, 3), np.float32)
    choice.choose("partitioned", table, None, sample, seed=0)
    choice.choose("partitioned", table, None, sample[:0], seed=0)
    np.testing.assert_array_equal(asked[0], sample[: choice.TUNING_QUERIES])
    np.testing.assert_array_equal(asked[1], table[1:])  # Without a sample, the candidates stand in.
