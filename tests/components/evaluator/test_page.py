import copy
from typing import Any

import pytest

from homefeed.components.evaluator.fairness import means_of
from homefeed.components.evaluator.page import page

INTERVALS = {"ndcg@10_interval": [0.2, 0.3], "objective_interval": [0.1, 0.4]}
METHOD = {"hr@10": 0.5, "ndcg@10": 0.25, "ndcg@10 likes": 0.3125, "queries": 1200, **INTERVALS}
SPLIT = {
    "methods": {"popularity": METHOD, "retrieval + ranking": METHOD | {"ndcg@10": 0.375}},
    "slices": {
        "category: <b>": {"queries": 60, "ndcg@10": 0.125, "interval": [0.1, 0.2], "guarded": True},
    },
    "calibration": {
        "events": 1200,
        "ece": 0.0125,
        "ece_by_chance": 0.01,
        "brier": 0.21,
        "bins": [
            {"predicted": 0.1, "happened": 0.2, "events": 700},
            {"predicted": 0.9, "happened": 0.8, "events": 500},
        ],
    },
    "objective": "likes",
    "liked@10": 0.7125,
    "trade_off": [
        {"weight": 1.0, "ndcg@10": 0.11, "ndcg@10_objective": 0.12, "liked": 0.7, "value": 0.75},
        {"weight": None, "ndcg@10": 0.01, "ndcg@10_objective": 0.02, "liked": 0.9, "value": 0.95},
    ],
    "calibration_of_shown": {
        "all": {"events": 321, "predicted": 0.625, "happened": 0.6875, "ece": 0.0625, "ece_by_chance": 0.03125}
    },
    "value": [{"events": 40, "predicted": 0.15, "happened": 0.1625}],
    "coverage@10": 0.5,
    "gini@10": 0.75,
    "diversity@10": 0.25,
    "novelty@10_bits": 7.25,
    "popularity_lift@10": 1.5,
}
ARM = {"ndcg@10_hidden": 0.1234, "against_frozen": [0.02, 0.01, 0.03], "nats_hidden": 3.5, "nats_all": 5.75}
CHECK = {"interval": [-0.6, -0.25], "bound": -0.21, "margin": 0.2, "findable": 0.45, "closes": True}
READER = {"users": 56, "queries": 1200, "ndcg@10": [0.1, 0.0625, 0.125], "liked_gap": [-0.03, -0.06, 0.01]}
GROUPS = {
    "guarded": {
        "error": 0.05,
        "groups": {
            "gender: F|X": {"users": 56, "queries": 1200, "checks": {"others alike": {"relative": -0.4} | CHECK}},
            "gender: <D>": {"users": 3, "queries": 12, "checks": {}},
        },
    },
    "readers": {"gender: F|X": READER},
    "items": {
        "in zh": READER
        | {"items": 9, "catalogue": 0.45, "shown": [0.25, 0.2, 0.3], "chosen": 0.35, "liked_gap": None}
    },
}
REPORT: dict[str, Any] = {
    "blessed": True,
    "reasons": [],
    "data": {"training_events": 12_345, "users": 678, "items": 90, "from": "2025-01-01", "to": "2025-02-01"},
    "splits": {"eval": SPLIT, "test": SPLIT},
    "comparison": None,
    "history": [],
    "texts": {"tensors": 23, "tensors_changed": 21, "arms": {"fine-tuned": ARM}},
    "ease_regularization": None,
    "impressions": {"eval": None, "test": None},
    "policy_value": {"eval": None, "test": None},
    "card_rates": {"eval": None, "test": None},
    "faithfulness": {
        "users": 200,
        "named": 0.4375,
        "random": 0.0125,
        "displaced": 0.5,
        "displaced_randomly": 0.125,
        "support": 1.0,
        "more_than_random": 0.995,
        "sizes": [1, 2],
        "deletion": [0.4375, 0.625],
        "deletion_randomly": [0.0125, 0.03125],
        "sufficiency": [0.75, 0.875],
        "sufficiency_randomly": [0.25, 0.3125],
        "shapley_users": 20,
        "shapley_agreement": 0.9,
    },
    "groups": {"eval": GROUPS},
    "robustness": {"one typo in the search": {"requests": 40, "kept": 0.75, "first": 0.5, "moved": 0.25}},
    "examples": [
        {
            "user_id": "u<1>",
            "history": ["Chair & table"],
            "lists": {
                "likes": [{"title": "Lamp <1>", "score": 1.25, "liked": 0.75, "value": 3.5, "source": "cold start"}]
            },
        }
    ],
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
    assert found.count('<table tabindex="0"><tr><th>method<th>hr@10<th>ndcg@10<th>ndcg@10 likes<th>queries</tr>') == 2
    assert "<h2>On eval</h2>" in found and "<h2>On test</h2>" in found
    assert "<td>retrieval + ranking<td class=n>0.5<td class=n>0.375<td class=n>0.3125<td class=n>1,200</tr>" in found
    assert "<title>predicted 0.10, happened 0.20, 700 events</title>" in found
    assert "1,200 events; mean gap 0.013 (by chance 0.010), Brier 0.210" in found
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


def test_what_people_see_is_said_with_what_other_orders_would_be_worth() -> None:
    found = page(report())
    assert "sorted for <b>likes</b>. On the first page P(liked) is 0.713 in the mean" in found
    assert "<tr><td>1<td class=n>0.11<td class=n>0.12<td class=n>0.7<td class=n>0.75</tr>" in found
    assert "<tr><td>the value alone<td class=n>0.01" in found
    assert (
        "<tr><td>all<td class=n>321<td class=n>0.625<td class=n>0.6875<td class=n>0.0625<td class=n>0.03125</tr>"
        in found
    )
    assert "<tr><td>1<td class=n>40<td class=n>0.15<td class=n>0.1625</tr>" in found
    assert "<h2>User u&lt;1&gt;</h2><p>History, newest first: Chair &amp; table</p>" in found
    assert "<td>Lamp &lt;1&gt;<td class=n>1.25<td class=n>0.75<td class=n>3.50<td>cold start</tr>" in found


def test_groups_are_told_with_what_closes_the_blessing_and_who_is_too_few() -> None:
    found = page(report())
    closing = "<td>others alike<td>-40.0% (-60.0% to -25.0%)<td>-21.0%<td>20%<td>45%<td>worse</tr>"
    assert f"<tr><td>eval<td>gender: F|X<td>56{closing}" in found
    assert "<td>gender: &lt;D&gt;<td>3<td>too small to be judged<td>" in found
    assert "<td>0.1000 (0.0625 to 0.1250)<td>-0.030 (-0.060 to +0.010)</tr>" in found
    shares = "<td>9<td>45.0%<td>25.0% (20.0% to 30.0%)<td>35.0%<td>1,200<td>0.1000 (0.0625 to 0.1250)<td></tr>"
    assert f"<tr><td>eval<td>in zh{shares}" in found
    assert "<td>one typo in the search<td>40<td>75.0%<td>50.0%<td>0.25<td><td></tr>" in found
    assert means_of(GROUPS, "interactions") == {"ndcg@10 of gender: F|X": 0.1, "liked_gap of gender: F|X": -0.03}
    assert means_of(GROUPS, "likes") == {"ndcg@10 likes of gender: F|X": 0.1, "liked_gap of gender: F|X": -0.03}
    nothing = page(report(groups={"eval": {"guarded": {"groups": {}}, "readers": {}, "items": {}}}, robustness={}))
    assert "Guarded groups" not in nothing and "When little changes" not in nothing
