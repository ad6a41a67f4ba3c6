import numpy as np
import pytest

from benchmarks import new_items
from homefeed.components.evaluator.measured import RANKING_ROW, RETRIEVAL_ROW
from homefeed.models.evaluation.metrics import Ranks


def _found(*above: int) -> new_items.Found:
    ranks = Ranks(np.array(above), np.zeros(len(above), np.int64))
    return {RANKING_ROW: ranks, RETRIEVAL_ROW: Ranks(ranks.above + 99, ranks.tied)}


def test_each_seed_counts_the_items_that_it_hid() -> None:
    runs = {
        new_items.NONE: [_found(2, 50), _found(50, 2)],
        new_items.SHUFFLED: [_found(2, 50), _found(50, 2)],
        new_items.UNTUNED: [_found(2, 50), _found(50, 2)],
        new_items.TEXTS: [_found(0, 50), _found(50, 0)],
    }
    hidden = [np.array([True, False]), np.array([False, True])]
    table, figures = new_items.report(runs, {"hidden items": hidden, "known items": [~mask for mask in hidden]})
    # At rank 3 NDCG is a half, at rank 1 it is 1; retrieval has the first one at rank 100.
    assert figures["hidden items.texts as they are.ndcg@10"] == 1
    assert figures["hidden items.texts as they are.gain"] == pytest.approx(1)
    assert figures["hidden items.texts as they are.recall@100"] == 1
    assert figures["hidden items.ids and features, no texts.recall@100"] == 0
    assert figures["hidden items.every item with another one's text.gain"] == 0
    assert figures["known items.texts as they are.ndcg@10"] == 0
    assert (
        "| hidden items (2) | texts as they are | 1.000 | 0.0000 | 1.0000 | +100.0% (+100.0% to +100.0%) | +100.0%"
        in table
    )


def test_arms_differ_by_texts() -> None:
    tokens = np.array([[0, 0], [5, 0], [6, 7], [8, 0]], np.int32)
    changed = {name: change(tokens, 0) for name, change in new_items.ARMS.items()}
    assert not changed[new_items.NONE].any()
    np.testing.assert_array_equal(changed[new_items.TEXTS], tokens)
    shuffled = changed[new_items.SHUFFLED]
    assert not shuffled[0].any() and sorted(shuffled.tolist()) == sorted(tokens.tolist())
    assert (shuffled != tokens).any()
