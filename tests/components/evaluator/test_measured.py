import dataclasses

import numpy as np

from homefeed.components.evaluator.measured import (
    CONTENT,
    EASE,
    IN_SERVICE,
    POPULARITY,
    RANKING_ROW,
    fit_baselines,
    measure,
)
from homefeed.models.evaluation.baselines import Popularity
from homefeed.serving.recommender import Recommender
from tests.components.evaluator.measuring import LIMITS, measured
from tests.toy_data import toy_catalogue, toy_sequences


def test_ranks_are_among_what_is_new_to_the_user(recommender: Recommender) -> None:
    sequences = toy_sequences(1, num_history=2)
    sequences.item_index[:] = [1, 3, 4]
    ranks = measure(recommender, None, {}, sequences, toy_catalogue(), LIMITS).ranks
    # Retrieval goes by train_counts: 1 2 3 4 …; without 1 and 3 the target 4 stands second of five.
    assert ranks["retrieval"].above.tolist() == [1]
    assert ranks["retrieval + ranking"].above.tolist() == [3]  # The order turned round.
    assert ranks.keys() == {"retrieval", "retrieval + ranking"}


def test_a_split_without_queries_has_empty_ranks(recommender: Recommender) -> None:
    ranks = measure(recommender, None, {}, toy_sequences(0), toy_catalogue(), LIMITS).ranks
    assert all(len(found.above) == 0 for found in ranks.values())


def test_a_large_catalogue_is_spared_ease() -> None:
    few = dataclasses.replace(LIMITS, max_ease_items=toy_catalogue().num_rows - 2)
    for limits, names in ((few, {POPULARITY, CONTENT}), (LIMITS, {POPULARITY, CONTENT, EASE})):
        assert fit_baselines(toy_sequences(3), toy_sequences(3), toy_catalogue(), limits).keys() == names


def test_sequences_with_empty_training_still_have_popularity() -> None:
    found = fit_baselines(toy_sequences(0), toy_sequences(3), toy_catalogue(), LIMITS)
    assert found.keys() == {POPULARITY, CONTENT}


def test_pages_hold_what_is_best_and_new(recommender: Recommender) -> None:
    found = measured(recommender)
    for page, history in zip(found.shown.rows, found.queries.histories, strict=True):
        assert not set(page[page > 0]) & set(history.tolist())
        counts = toy_catalogue().train_counts[page[page > 0]]
        assert (np.diff(counts) > 0).all()  # ToyRanking: the rarest first.
    assert np.nanmax(found.probabilities) == np.nanmin(found.probabilities) == 0.5


def test_a_measurement_says_what_was_asked_and_what_came(recommender: Recommender) -> None:
    found = measured(recommender, recommender)
    sequences = toy_sequences(3, num_history=2)
    assert len(found.queries) == len(found.shown.rows) == len(found.probabilities) == len(found.positive) > 0
    assert {len(ranks.above) for ranks in found.ranks.values()} == {len(found.queries)}
    assert found.positive.tolist() == sequences.positive[found.queries.ends].tolist()
    assert set(found.slices) >= {"history of 1 to 4"}
    np.testing.assert_array_equal(found.ranks[IN_SERVICE].above, found.ranks[RANKING_ROW].above)
    assert IN_SERVICE not in measured(recommender).ranks


def test_rivals_rank_by_what_they_score(recommender: Recommender) -> None:
    sequences = toy_sequences(1, num_history=2)
    sequences.item_index[:] = [1, 3, 4]
    train = toy_sequences(1)
    train.item_index[:] = [4, 4, 2]
    rivals = {POPULARITY: Popularity().fit(train, toy_catalogue().num_rows)}
    found = measure(recommender, None, rivals, sequences, toy_catalogue(), LIMITS).ranks[POPULARITY]
    assert found.above.tolist() == [0] and found.tied.tolist() == [0]
