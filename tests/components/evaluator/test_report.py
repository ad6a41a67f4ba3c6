import dataclasses
import json
import pathlib

import numpy as np
import pytest

from homefeed.components.artifacts.types import ModelEvaluation, PushedModel
from homefeed.components.evaluator.measured import IN_SERVICE, RANKING_ROW
from homefeed.components.evaluator.report import (
    activity_of,
    compare,
    describe,
    interval,
    means_of,
    to_markdown,
    write,
)
from homefeed.models.evaluation.metrics import Ranks
from homefeed.serving.recommender import Recommender
from tests.components.evaluator.measuring import measured
from tests.toy_data import toy_catalogue, toy_sequences

NOTHING_SHOWN = {"eval": None, "test": None}
SPLITS_OF_TOY = dict.fromkeys(("eval", "test"), toy_sequences(3, num_history=2))
PLACE = {"title": "Lamp <1>", "score": 1.25, "liked": 0.75, "value": 3.5, "source": "cold start"}
EXAMPLE = {"user_id": "u1", "history": ["Chair"], "lists": {"likes": [PLACE], "interactions": []}}
NO_GROUPS = {"guarded": {"groups": {}, "activity": {"x": {"level": 1.0}}}, "readers": {}, "items": {}}
NOTHING_ELSE = {
    "card_rates": NOTHING_SHOWN,
    "groups": {"eval": NO_GROUPS, "test": NO_GROUPS},
    "robustness": {},
    "impressions": NOTHING_SHOWN,
    "policy_value": NOTHING_SHOWN,
    "faithfulness": {},
}
NO_TEXTS = {"tensors": 23, "tensors_changed": 0, "arms": {}}


def test_the_table_has_a_row_a_method() -> None:
    report = {"test": {"popularity": {"hr@10": 0.5, "queries": 3}, "ours": {"hr@10": 1.0, "queries": 3}}}
    table = to_markdown(report)
    assert "| popularity | 0.5000 | 3 |" in table and "| ours | 1.0000 | 3 |" in table


def test_the_same_models_differ_by_nothing(recommender: Recommender) -> None:
    compared = compare(measured(recommender, recommender))
    assert compared["all"]["difference"] == 0 and compared["all"]["interval"] == [0, 0]
    assert compared["all"]["queries"] >= max(found["queries"] for found in compared.values())


def test_report_page_and_card_say_the_verdict_and_the_figures(
    recommender: Recommender, tmp_path: pathlib.Path
) -> None:
    found = {"eval": measured(recommender, recommender), "test": measured(recommender)}
    means = {split: means_of(one) for split, one in found.items()}
    pushed = PushedModel(tmp_path / "pushed")
    extra = tmp_path / "serving" / "retrieval" / "4" / "assets.extra"
    pushed.write_json("pushed.json", {"version": 4, "paths": [str(extra.parent)]})
    arm = {"ndcg@10_hidden": 0.1234, "against_frozen": [0.02, 0.01, 0.03], "nats_hidden": 3.5, "nats_all": 5.75}
    texts = {"tensors": 23, "tensors_changed": 21, "arms": {"fine-tuned": arm}}
    for blessed, folder in ((True, extra), (False, tmp_path / "second")):
        reasons = [] if blessed else ["NDCG@10 is 0.1 <below>"]
        base = None if blessed else pushed
        chosen = 150.0 if blessed else None
        arguments = (
            means,
            found,
            SPLITS_OF_TOY,
            [EXAMPLE],
            toy_catalogue(),
            toy_sequences(4),
            reasons,
            base,
            texts,
            chosen,
            NOTHING_ELSE,
        )
        write(ModelEvaluation(folder), *arguments)
    card = (extra / "model_card.md").read_text(encoding="utf-8")
    assert "| fine-tuned | 0.1234 | 0.0100 to 0.0300 | 3.500 | 5.750 |" in card and "21 of BERT's 23 tensors" in card
    report = json.loads((tmp_path / "second" / "evaluation.json").read_text())
    assert not report["blessed"] and report["reasons"] == ["NDCG@10 is 0.1 <below>"]
    assert report["splits"]["eval"]["slices"]["history of 1 to 4"]["queries"] > 0
    ndcg = means["eval"]["retrieval + ranking"]["ndcg@10"]
    assert [(past["version"], past["ndcg@10"]) for past in report["history"]] == [(4, ndcg)]
    page = (tmp_path / "second" / "report.html").read_text(encoding="utf-8")
    assert "&lt;below&gt;" in page and "<svg" in page and "Against the models in service" in page
    assert "src=" not in page and "href=" not in page
    assert "EASE is regularised with 150, the best on eval" in card and "EASE is" not in page
    assert "EASE is regularised with 150" in (extra / "report.html").read_text(encoding="utf-8")
    card = (tmp_path / "second" / "model_card.md").read_text(encoding="utf-8")
    assert "**Not blessed**" in card and f"| eval | retrieval + ranking | {ndcg:.4f} |" in card
    assert "**Blessed**" in (extra / "model_card.md").read_text(encoding="utf-8")


def test_means_are_zero_where_nothing_was_asked(recommender: Recommender) -> None:
    found = measured(recommender)
    means = means_of(found)
    assert means[RANKING_ROW]["queries"] == len(found.queries) and set(means) == set(found.ranks)
    nothing = Ranks(np.empty(0, np.int64), np.empty(0, np.int64))
    empty = dataclasses.replace(found, ranks={RANKING_ROW: nothing})
    assert set(means_of(empty)[RANKING_ROW].values()) == {0}


def test_earlier_data_are_known_where_an_evaluation_tells_of_groups(tmp_path: pathlib.Path) -> None:
    pushed = PushedModel(tmp_path / "pushed")
    extra = tmp_path / "serving" / "fused" / "4" / "assets.extra"
    pushed.write_json(PushedModel.FILE, {"version": 4, "paths": [str(extra.parent)]})
    assert activity_of(None) is None and activity_of(pushed) is None
    ModelEvaluation(extra).write_json("evaluation.json", {"groups": {"eval": NO_GROUPS}})
    assert activity_of(pushed) == {"x": {"level": 1.0}}
    ModelEvaluation(extra).write_json("evaluation.json", {"history": []})  # Of an earlier homefeed.
    assert activity_of(pushed) is None


def test_the_table_of_means_has_whole_counts_and_four_digits() -> None:
    text = to_markdown({"eval": {"ours": {"hr@10": 0.123456, "queries": 12_345}}, "test": {"ours": {"queries": 1}}})
    assert text.splitlines() == [
        "## eval",
        "",
        "| method | hr@10 | queries |",
        "|---|---:|---:|",
        "| ours | 0.1235 | 12,345 |",
        "",
        "## test",
        "",
        "| method | queries |",
        "|---|---:|",
        "| ours | 1 |",
    ]


def test_an_interval_holds_the_mean_and_narrows_with_more_values() -> None:
    assert interval(np.empty(0)) is None and interval(np.full(30, 0.25)) == [0.25, 0.25]
    values = np.tile([0.0, 1.0], 200)
    low, high = interval(values)
    # The mean's standard error is 0.5 / √400 = 0.025; 1.96 of them on either side.
    assert (low, high) == (pytest.approx(0.451, abs=0.008), pytest.approx(0.549, abs=0.008))
    few = interval(values[:40])
    assert few is not None and few[1] - few[0] > 2 * (high - low)


def test_a_description_has_every_method_slice_and_what_pages_are_like(recommender: Recommender) -> None:
    found = measured(recommender)
    said = describe(found, means_of(found), SPLITS_OF_TOY["eval"], toy_catalogue())
    assert set(said["methods"]) == set(found.ranks) and set(said["slices"]) == set(found.slices)
    for name, figures in said["slices"].items():
        assert figures["queries"] == found.slices[name].sum() and figures["interval"][0] <= figures["ndcg@10"]
    # All pages together show every item that is new to somebody: each of the seven, of seven.
    shown = len(np.unique(found.shown.rows[found.shown.rows > 0]))
    assert said["coverage@10"] == pytest.approx(shown / 7)
    assert 0 <= said["diversity@10"] <= 1 and said["calibration"]["events"] > 0
    bare = toy_catalogue()
    bare.categorical.pop("categories")
    assert describe(found, means_of(found), SPLITS_OF_TOY["eval"], bare)["diversity@10"] is None


def test_a_comparison_is_of_the_same_queries(recommender: Recommender) -> None:
    found = measured(recommender, recommender)
    worst = dataclasses.replace(found.ranks[IN_SERVICE], above=found.ranks[IN_SERVICE].above + 100)
    compared = compare(dataclasses.replace(found, ranks=found.ranks | {IN_SERVICE: worst}))
    assert compared["all"]["in_service"] == 0 and compared["all"]["difference"] == compared["all"]["ours"] > 0
    assert compared["all"]["guarded"] and not compared["history of 1 to 4"]["guarded"]
    assert all(one["interval"][0] <= one["difference"] <= one["interval"][1] for one in compared.values())


def test_a_base_without_an_evaluation_has_no_figures(recommender: Recommender, tmp_path: pathlib.Path) -> None:
    found = {split: measured(recommender, recommender) for split in ("eval", "test")}
    means = {split: means_of(one) for split, one in found.items()}
    pushed = PushedModel(tmp_path / "pushed")
    pushed.write_json(PushedModel.FILE, {"version": 7, "paths": [str(tmp_path / "serving" / "ranking" / "7")]})
    beside = (NO_TEXTS, None, NOTHING_ELSE)
    trained = SPLITS_OF_TOY, [], toy_catalogue(), toy_sequences(4)
    write(ModelEvaluation(tmp_path / "out"), means, found, *trained, [], pushed, *beside)
    report = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert report["history"] == [{"version": 7, "to": None, "ndcg@10": None, "interval": None}]
    # Training began at second 1,000,000, which is the 12th of January 1970.
    data = report["data"]
    assert (data["users"], data["items"], data["training_events"]) == (4, 7, 18)
    assert (data["from"], data["to"]) == ("1970-01-12", "1970-01-12")
    untrained = SPLITS_OF_TOY, [], toy_catalogue(), toy_sequences(0)
    write(ModelEvaluation(tmp_path / "none"), means, found, *untrained, [], None, *beside)
    first = json.loads((tmp_path / "none" / "evaluation.json").read_text())
    assert first["history"] == [] and first["comparison"] is None and first["data"]["from"] is None
