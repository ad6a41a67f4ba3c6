import json
import pathlib

import numpy as np
import pytest

from homefeed.components.artifacts.types import ModelEvaluation, PushedModel
from homefeed.components.evaluator import component as evaluator
from homefeed.components.evaluator import report as _evaluation_report
from homefeed.components.evaluator import slices as _slices
from homefeed.models.evaluation import metrics
from homefeed.models.sequences import Sequences
from homefeed.serving.predictors import LocalPredictor
from homefeed.serving.recommender import Recommender
from tests.toy_data import toy_catalogue, toy_sequences

CONFIG = evaluator.Config(batch_size=2)


@pytest.fixture(scope="module")
def recommender(toy_models: dict[str, pathlib.Path]) -> Recommender:
    return Recommender(LocalPredictor({name: path / "Format-Serving" for name, path in toy_models.items()}))


def test_a_query_is_an_event_of_the_split_on_a_known_item_that_is_new_to_the_user() -> None:
    sequences = toy_sequences(3, num_history=2)
    # Users have 3, 4 and 5 events: 1, 2 and 3 of them in the split.
    sequences.item_index[:] = [1, 2, 3, 1, 2, 1, 4, 5, 6, 7, 0, 5]
    queries = evaluator.make_queries(sequences, 100)
    found = {(row, end, target) for row, end, target in zip(queries.rows, queries.ends, queries.targets, strict=True)}
    assert found == {(0, 2, 3), (1, 6, 4), (2, 9, 7)}
    (longest,) = (h for h, row in zip(queries.histories, queries.rows, strict=True) if row == 1)
    assert longest.tolist() == [1, 2, 1]


def test_a_large_split_is_sampled() -> None:
    assert len(evaluator.make_queries(toy_sequences(5, num_items=40), 4)) == 4


def test_ranks_are_among_what_is_new_to_the_user(recommender: Recommender) -> None:
    sequences = toy_sequences(1, num_history=2)
    sequences.item_index[:] = [1, 3, 4]
    ranks = evaluator.evaluate(recommender, toy_sequences(4), sequences, toy_catalogue(), CONFIG)
    # Retrieval goes by train_counts: 1 2 3 4 …; without 1 and 3 the target 4 stands second of five.
    assert ranks["retrieval"].above.tolist() == [1]
    assert ranks["retrieval + ranking"].above.tolist() == [3]  # The order turned round.
    assert ranks.keys() == {"popularity", "EASE", "retrieval", "retrieval + ranking"}


def test_a_split_without_queries_has_empty_ranks(recommender: Recommender) -> None:
    ranks = evaluator.evaluate(recommender, toy_sequences(4), toy_sequences(0), toy_catalogue(), CONFIG)
    assert all(len(found.above) == 0 for found in ranks.values())


def test_a_large_catalogue_is_spared_ease() -> None:
    fitted = evaluator.fit_baselines(toy_sequences(3), 8, evaluator.Config(max_ease_items=6))
    assert fitted.keys() == {"popularity"}


def all_at(above: int, num_queries: int = 50) -> metrics.Ranks:
    return metrics.Ranks(np.full(num_queries, above), np.zeros(num_queries, np.int64))


def test_better_than_popularity_and_no_worse_than_retrieval_is_blessed() -> None:
    ranks = {"popularity": all_at(5), "retrieval": all_at(2), "retrieval + ranking": all_at(2)}
    assert evaluator.judge(ranks, CONFIG) == []


@pytest.mark.parametrize(("popularity", "retrieval", "rival"), [(1, 9, "popularity"), (9, 1, "retrieval")])
def test_a_significant_loss_is_a_reason_with_figures(popularity: int, retrieval: int, rival: str) -> None:
    ranks = {
        "popularity": all_at(popularity),
        "retrieval": all_at(retrieval),
        "retrieval + ranking": all_at(2),  # 1 / log2(4) = 0.5 against 1 / log2(3) = 0.6309.
    }
    (reason,) = evaluator.judge(ranks, CONFIG)
    assert f"0.6309 of {rival}: difference -0.1309" in reason


def test_a_loss_by_chance_is_no_reason() -> None:
    generator = np.random.default_rng(0)
    above = generator.integers(0, 10, 40)
    ours = metrics.Ranks(generator.permutation(above), np.zeros(40, np.int64))
    theirs = metrics.Ranks(above, np.zeros(40, np.int64))
    assert evaluator.judge({"popularity": theirs, "retrieval": theirs, "retrieval + ranking": ours}, CONFIG) == []


def test_what_cannot_be_judged_is_not_blessed() -> None:
    ranks = dict.fromkeys(("popularity", "retrieval", "retrieval + ranking"), all_at(0, num_queries=0))
    assert "cannot be judged" in evaluator.judge(ranks, CONFIG)[0]


def test_the_table_has_a_row_a_method() -> None:
    report = {"test": {"popularity": {"hr@10": 0.5, "queries": 3}, "ours": {"hr@10": 1.0, "queries": 3}}}
    table = evaluator.to_markdown(report)
    assert "| popularity | 0.5000 | 3 |" in table and "| ours | 1.0000 | 3 |" in table


def test_sequences_with_empty_training_still_have_popularity() -> None:
    empty: Sequences = toy_sequences(0)
    assert evaluator.fit_baselines(empty, 8, CONFIG).keys() == {"popularity"}


def halves(first: int, second: int) -> metrics.Ranks:
    """[100]: the first half of the queries has its target at one place, the second half at another."""
    return metrics.Ranks(np.repeat([first, second], 50), np.zeros(100, np.int64))


def test_worse_than_the_models_in_service_is_a_reason() -> None:
    ranks = dict.fromkeys(("popularity", "retrieval", "retrieval + ranking"), all_at(2))
    (reason,) = evaluator.judge(ranks | {"in service": all_at(1)}, CONFIG)
    assert "0.6309 of in service: difference -0.1309" in reason


def test_better_on_the_whole_and_worse_in_a_guarded_slice_is_not_blessed() -> None:
    ranks = dict.fromkeys(("popularity", "retrieval", "retrieval + ranking"), halves(0, 9)) | {
        "in service": halves(3, 3)  # 0.4307 everywhere; ours have 1.0 and 0.2891, which is 0.6445 on the whole.
    }
    slices = {name: np.arange(100) >= 50 for name in ("new items", "history of 5 to 19")}
    (reason,) = evaluator.judge(ranks, CONFIG, slices)
    assert "in service in slice 'new items'" in reason and "difference -0.1416" in reason
    assert evaluator.judge(ranks, evaluator.Config(slice_margin=0.4), slices) == []  # 0.1416 / 0.4307 = 0.33.


def test_slices_know_newcomers_lengths_popularity_and_categories() -> None:
    sequences, catalogue = toy_sequences(3, num_history=0), toy_catalogue()
    sequences.num_history[:] = [0, 2, 4]
    sequences.item_index[:] = [7, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5]
    queries = evaluator.make_queries(sequences, 100)
    found = _slices.slices(queries, sequences, catalogue, 1)
    assert queries.rows[found["new users"]].tolist() == [0, 0, 0]
    assert queries.targets[found["new items"]].tolist() == [7]
    assert [len(queries.histories[query]) for query in np.flatnonzero(found["history of 0"])] == [0]
    # Training counts 6 5 4 3 2 1: of 21, items 1 and 2 begin within the first third, 3 and 4 in the second.
    assert set(queries.targets[found["popular items"]]) <= {1, 2}
    assert set(queries.targets[found["rare items"]]) <= {4, 5, 6}
    crime = catalogue.categorical["categories"] == 3
    assert found["category: crime"].tolist() == crime[queries.targets].any(axis=1).tolist()
    assert not _slices.slices(queries, sequences, catalogue, 100)


def measured(recommender: Recommender, in_service: Recommender | None = None) -> evaluator.Measured:
    sequences = toy_sequences(3, num_history=2)
    config = evaluator.Config(min_slice_queries=1)
    return evaluator.measure(recommender, in_service, toy_sequences(4), sequences, toy_catalogue(), config)


def test_the_same_models_differ_by_nothing(recommender: Recommender) -> None:
    compared = _evaluation_report.compare(measured(recommender, recommender))
    assert compared["all"]["difference"] == 0 and compared["all"]["interval"] == [0, 0]
    assert compared["all"]["queries"] >= max(found["queries"] for found in compared.values())


def test_pages_hold_what_is_best_and_new(recommender: Recommender) -> None:
    found = measured(recommender)
    for page, history in zip(found.pages, found.queries.histories, strict=True):
        assert not set(page[page > 0]) & set(history.tolist())
        counts = toy_catalogue().train_counts[page[page > 0]]
        assert (np.diff(counts) > 0).all()  # ToyRanking: the rarest first.
    assert np.nanmax(found.probabilities) == np.nanmin(found.probabilities) == 0.5


def test_report_page_and_card_say_the_verdict_and_the_figures(
    recommender: Recommender, tmp_path: pathlib.Path
) -> None:
    found = {"eval": measured(recommender, recommender), "test": measured(recommender)}
    means = {split: {m: evaluator._figures(r) for m, r in one.ranks.items()} for split, one in found.items()}
    pushed = PushedModel(tmp_path / "pushed")
    extra = tmp_path / "serving" / "retrieval" / "4" / "assets.extra"
    pushed.write_json("pushed.json", {"version": 4, "paths": [str(extra.parent)]})
    for blessed, folder in ((True, extra), (False, tmp_path / "second")):
        reasons = [] if blessed else ["NDCG@10 is 0.1 <below>"]
        base = None if blessed else pushed
        arguments = (means, found, toy_catalogue(), toy_sequences(4), reasons, base)
        _evaluation_report.write(ModelEvaluation(folder), *arguments)
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
