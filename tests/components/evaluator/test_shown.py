import dataclasses
import json

import numpy as np
import pytest

from homefeed.components.evaluator import examples, shown
from homefeed.components.evaluator.answers import MIXES, Page, ask
from homefeed.components.evaluator.measured import Measured, Shown
from homefeed.components.evaluator.report import means_of
from homefeed.models.evaluation import metrics
from homefeed.models.requests import Request
from homefeed.serving.recommender import Candidates, Recommender
from tests.components.evaluator.measuring import measured
from tests.toy_data import toy_catalogue, toy_sequences

SEQUENCES = toy_sequences(3, num_history=2)


def _with_pages(recommender: Recommender) -> Measured:
    """Query 0 shows the items of events 2 and 3, query 1 that of event 3 again."""
    found = measured(recommender)
    shape = found.shown.rows.shape
    events, probabilities = np.full(shape, -1), np.full(shape, np.nan)
    events[0, :2], events[1, 0] = (2, 3), 3
    probabilities[0, :2], probabilities[1, 0] = (0.25, 0.5), 0.75
    rows = np.where(events >= 0, SEQUENCES.item_index[events], 0).astype(np.int64)
    return dataclasses.replace(found, shown=Shown(rows, probabilities, probabilities, events))


def test_an_event_counts_once_however_often_it_was_shown(recommender: Recommender) -> None:
    sequences = dataclasses.replace(SEQUENCES, positive=np.arange(len(SEQUENCES.positive)) == 3)
    found = shown.calibration(_with_pages(recommender), sequences, toy_catalogue())
    assert (found["all"]["events"], found["all"]["predicted"], found["all"]["happened"]) == (
        2,
        (0.25 + 0.625) / 2,
        0.5,
    )
    assert found["all"]["ece"] == pytest.approx((0.25 + 0.375) / 2)
    assert found["places 1 to 3"] == found["all"] and "places 7 to 10" not in found
    of_popularity = [
        found[f"{name} items"]["events"] for name in ("popular", "middling", "rare") if f"{name} items" in found
    ]
    assert sum(of_popularity) == 2


def test_tenths_of_what_was_chosen_go_by_the_expected_value(recommender: Recommender) -> None:
    found = measured(recommender)
    size = len(found.queries)
    values, worth = np.arange(1.0, size + 1)[::-1].copy(), np.arange(10.0, 10 + size)
    values[0] = np.nan
    parts = shown.value_by_part(dataclasses.replace(found, values=values, worth=worth))
    assert sum(part["events"] for part in parts) == size - 1
    assert (parts[0]["predicted"], parts[0]["happened"]) == (1.0, 10.0 + size - 1)


class _Fixed:
    """Answers every request with the same four candidates."""

    def candidates(self, requests: list[Request]) -> Candidates:
        size = len(requests)
        ids = np.array([[b"a", b"b", b"c", b""]] * size, object)
        interests = np.array([[3.0, 2.0, 1.0, 0.0]] * size, np.float32)
        values = np.array([[0.0, 1.0, 4.0, 0.0]] * size, np.float32)
        scores = np.where(ids == b"", np.finfo(np.float32).min, interests + 0.5 * values).astype(np.float32)
        return Candidates(
            ids, ids, interests, scores, values / 8, ids[:, 0], interests, values, ids[:, 0], values / 80
        )


def test_other_weights_of_the_value_make_other_orders() -> None:
    answers = ask(_Fixed(), [Request("u"), Request("v")], np.array([b"b", b"nowhere"], object), 1)
    assert list(answers.mixes) == list(MIXES)
    orders = {mix: b"".join(page.item_ids[0]) for mix, (_, page) in answers.mixes.items()}
    # a is 3, b 2 and half the weight, c 1 and twice the weight.
    assert list(orders.values()) == [b"abc", b"abc", b"abc", b"acb", b"cab", b"cba", b"cba"]
    np.testing.assert_array_equal(answers.values, [1.0, np.nan])
    np.testing.assert_array_equal(answers.mixes[np.inf][1].values[0, :4], [4.0, 1.0, 0.0, np.nan])


def test_lists_are_judged_by_what_targets_are_worth(recommender: Recommender) -> None:
    found = measured(recommender)
    likes = dataclasses.replace(found, objective="likes", weights=found.positive / max(found.positive.mean(), 1e-9))
    for name, figures in means_of(likes).items():
        ndcg = metrics.ndcg(found.ranks[name], 10)
        assert figures["ndcg@10 likes"] == pytest.approx(ndcg[found.positive].mean())
        assert figures["ndcg@10"] == pytest.approx(ndcg.mean())
    assert "ndcg@10 likes" not in means_of(found)["retrieval"]


def test_the_trade_off_holds_means_of_pages(recommender: Recommender) -> None:
    found = measured(recommender)
    page = Page(np.full((1, 10), b"a", object), np.array([[0.5, np.nan, 1.0]]), np.array([[2.0, np.nan, 4.0]]))
    (row,) = shown.trade_off(dataclasses.replace(found, mixes={0.5: (found.ranks["retrieval"], page)}))
    assert (row["weight"], row["liked"], row["value"]) == (0.5, 0.75, 3.0)
    (alone,) = shown.trade_off(dataclasses.replace(found, mixes={np.inf: (found.ranks["retrieval"], page)}))
    assert alone["weight"] is None and json.dumps(alone, allow_nan=False)
    assert row["ndcg@10"] == pytest.approx(metrics.ndcg(found.ranks["retrieval"], 10).mean())


def test_examples_show_histories_apart_from_lists(recommender: Recommender) -> None:
    queries, catalogue = measured(recommender).queries, toy_catalogue()
    found = examples.lists(recommender, queries, SEQUENCES, catalogue, [""])
    assert len(found) == 3
    titles = {title.decode() for title in catalogue.titles}
    for one in found:
        assert one["history"] and set(one["history"]) <= titles
        assert not {place["title"] for place in one["lists"][""]} & set(one["history"])
        sources = {place["title"]: place["source"] for place in one["lists"][""]}
        assert sources.pop("Title 7 片7", "cold start") == "cold start"
        assert set(sources.values()) == {"popular"}
