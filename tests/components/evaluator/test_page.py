import copy
from typing import Any

import pytest

from homefeed.components.evaluator.page import page

METHOD = {"hr@10": 0.5, "ndcg@10": 0.25, "queries": 1200, "ndcg@10_interval": [0.2, 0.3]}
SPLIT = {
    "methods": {"popularity": METHOD, "retrieval + ranking": METHOD | {"ndcg@10": 0.375}},
    "slices": {
        "category: <b>": {"queries": 60, "ndcg@10": 0.125, "interval": [0.1, 0.2], "guarded": True},
    },
    "calibration": {
        "events": 1200,
        "ece": 0.0125,
        "brier": 0.21,
        "bins": [
            {"predicted": 0.1, "happened": 0.2, "events": 700},
            {"predicted": 0.9, "happened": 0.8, "events": 500},
        ],
    },
    "coverage@10": 0.5,
    "gini@10": 0.75,
    "diversity@10": 0.25,
    "novelty@10_bits": 7.25,
    "popularity_lift@10": 1.5,
}
ARM = {"ndcg@10_hidden": 0.1234, "against_frozen": [0.02, 0.01, 0.03], "nats_hidden": 3.5, "nats_all": 5.75}
REPORT: dict[str, Any] = {
    "blessed": True,
    "reasons": [],
    "data": {"training_events": 12_345, "users": 678, "items": 90, "from": "2025-01-01", "to": "2025-02-01"},
    "splits": {"eval": SPLIT, "test": SPLIT},
    "comparison": None,
    "history": [],
    "texts": {"tensors": 23, "tensors_changed": 21, "arms": {"fine-tuned": ARM}},
    "ease_regularization": None,
    "shown": {"eval": None, "test": None},
}


def report(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(REPORT) | changes


def test_the_verdict_comes_first() -> None:
    assert "<h1>Evaluation</h1><p class=good><b>Blessed</b>" in page(report())
    refused = page(report(blessed=False, reasons=["worse than <popularity>", "slow"]))
    assert "<b>Not blessed.</b></p><ul class=bad><li>worse than &lt;popularity&gt;</li><li>slow</li></ul>" in refused
    assert "may be served" not in refused


def test_what_was_learnt_from_is_said_in_figures() -> None:
    found = page(report())
    assert "Learnt from 12,345 events of 678 users, 2025-01-01 to 2025-02-01; 90 items" in found


def test_ways_to_read_texts_stand_beside_each_other() -> None:
    found = page(report())
    assert "changed 21 of BERT's 23 tensors" in found
    row = "<td class=n>0.1234<td class=n>+0.0100 to +0.0300<td class=n>3.500<td class=n>5.750</tr>"
    assert f"<tr><td>fine-tuned{row}" in found
    assert "<h2>Texts</h2>" not in page(report(texts={"tensors": 23, "tensors_changed": 0, "arms": {}}))


def test_every_split_has_a_table_of_its_methods() -> None:
    found = page(report())
    assert found.count("<table><tr><th>method<th>hr@10<th>ndcg@10<th>queries</tr>") == 2
    assert "<h2>On eval</h2>" in found and "<h2>On test</h2>" in found
    assert "<td>retrieval + ranking<td class=n>0.5<td class=n>0.375<td class=n>1,200</tr>" in found
    assert "<title>predicted 0.10, happened 0.20, 700 events</title>" in found
    assert "1,200 events; mean gap 0.013, Brier 0.210" in found
    assert "category: &lt;b&gt; (60)" in found and "<b> (60)" not in found


@pytest.mark.parametrize("diversity", [0.25, None])
def test_what_pages_are_like(diversity: float | None) -> None:
    found = page(report(splits={"eval": SPLIT | {"diversity@10": diversity}}))
    assert "<li>50.0% of the catalogue is on somebody's first ten (Gini of how often: 0.75).</li>" in found
    assert ("25.0% of the pairs on a page share no category" in found) is (diversity is not None)
    assert "carries 7.2 bits" in found and "1.50 times as popular" in found


def test_models_in_service_are_compared_where_there_are_any() -> None:
    assert "Against the models in service" not in page(report())
    compared = {"all": {"queries": 1200, "difference": -0.0123, "interval": [-0.02, 0.01]}}
    found = page(report(comparison=compared))
    assert "<h2>Against the models in service</h2>" in found and "all (1,200)" in found and "-0.0123" in found


def test_earlier_models_are_a_line_that_ends_with_this_one() -> None:
    history = [
        {"version": 3, "to": None, "ndcg@10": None, "interval": None},
        {"version": 4, "to": "2025-01-08", "ndcg@10": 0.3, "interval": [0.2, 0.4]},
    ]
    found = page(report(history=history))
    assert "<tr><td>3<td><td class=n></tr><tr><td>4<td>2025-01-08<td class=n>0.3000</tr>" in found
    line = found.partition("NDCG@10, oldest to newest")[2]
    assert line.count("<title>0.3</title>") == line.count("<title>0.375</title>") == 1
    assert "Models so far" not in page(report())
