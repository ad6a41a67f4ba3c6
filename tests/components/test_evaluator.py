import pathlib

import numpy as np
import pytest

from components import evaluator
from models import metrics
from models.sequences import Sequences
from serving.predictors import LocalPredictor
from serving.recommender import Recommender
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
