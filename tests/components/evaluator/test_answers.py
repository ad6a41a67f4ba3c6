import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.components.evaluator.answers import PAGE_LENGTH, ask, ranks_in
from homefeed.models.evaluation import metrics
from homefeed.models.evaluation.metrics import Ranks
from homefeed.models.requests import Event, Request
from homefeed.serving.recommender import Recommender

MISS = np.iinfo(np.int32).max


def ids(*rows: str) -> np.ndarray:
    return np.array([[letter.encode() if letter != "_" else b"" for letter in row] for row in rows], object)


def test_a_rank_is_how_many_score_higher_and_how_many_the_same() -> None:
    item_ids = ids("abcd", "abcd", "abcd", "abc_")
    scores = np.array([[4, 3, 2, 1], [1, 3, 3, 2], [1, 1, 1, 1], [9, 8, 7, -1]], np.float32)
    targets = np.array([b"c", b"b", b"d", b"z"], object)
    ranks = ranks_in(item_ids, scores, targets)
    assert ranks.above.tolist() == [2, 0, 0, MISS]
    assert ranks.tied.tolist() == [0, 1, 3, 0]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.data())
def test_a_rank_is_what_sorting_says(scores: list[int], data: st.DataObject) -> None:
    target = data.draw(st.integers(0, len(scores) - 1))
    names = np.array([[str(place).encode() for place in range(len(scores))]], object)
    ranks = ranks_in(names, np.array([scores], np.float32), np.array([str(target).encode()], object))
    ordered = sorted(scores, reverse=True)
    assert ranks.above[0] == ordered.index(scores[target])
    assert ranks.tied[0] == ordered.count(scores[target]) - 1


def test_batches_are_joined_and_nothing_is_nothing() -> None:
    parts = [Ranks(np.array([1, 2]), np.array([0, 1])), Ranks(np.array([3]), np.array([5]))]
    joined = metrics.joined(parts)
    assert (joined.above.tolist(), joined.tied.tolist()) == ([1, 2, 3], [0, 1, 5])
    assert metrics.joined([]).above.shape == (0,)


REQUESTS = [Request("a", [Event("i1"), Event("i3")]), Request("b"), Request("c", [Event("i7")])]
TARGETS = np.array([b"i4", b"i1", b"nowhere"], object)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_answers_do_not_depend_on_the_batches(recommender: Recommender, batch_size: int) -> None:
    answers = ask(recommender, REQUESTS, TARGETS, batch_size)
    # Retrieval goes by train_counts, i1 to i7: without i1 and i3 the target i4 is second; ranking turns that round.
    assert answers.retrieval.above.tolist() == [1, 0, MISS]
    assert answers.ranking.above.tolist() == [3, 6, MISS]
    assert answers.page.item_ids.shape == (3, PAGE_LENGTH)
    assert answers.page.item_ids[0].tolist() == [b"i7", b"i6", b"i5", b"i4", b"i2", *[b""] * 5]
    assert answers.page.item_ids[2].tolist() == [b"i6", b"i5", b"i4", b"i3", b"i2", b"i1", *[b""] * 4]
    np.testing.assert_array_equal(answers.probabilities, [0.5, 0.5, np.nan])


def test_nothing_asked(recommender: Recommender) -> None:
    answers = ask(recommender, [], np.empty(0, object), 2)
    assert answers.page.item_ids.shape == (0, PAGE_LENGTH) and answers.probabilities.shape == (0,)
    assert len(answers.ranking.above) == 0
