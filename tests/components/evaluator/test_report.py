import json
import pathlib

from homefeed.components.artifacts.types import ModelEvaluation, PushedModel
from homefeed.components.evaluator.report import compare, means_of, to_markdown, write
from homefeed.serving.recommender import Recommender
from tests.components.evaluator.measuring import measured
from tests.toy_data import toy_catalogue, toy_sequences


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
        arguments = (means, found, toy_catalogue(), toy_sequences(4), reasons, base, texts)
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
    card = (tmp_path / "second" / "model_card.md").read_text(encoding="utf-8")
    assert "**Not blessed**" in card and f"| eval | retrieval + ranking | {ndcg:.4f} |" in card
    assert "**Blessed**" in (extra / "model_card.md").read_text(encoding="utf-8")
