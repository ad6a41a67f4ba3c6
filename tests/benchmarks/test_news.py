import numpy as np
import pytest

from benchmarks.news import Asked, by_board, by_window
from homefeed.models.evaluation import metrics
from homefeed.models.hot.blend import Blend
from homefeed.models.hot.board import HALF_LIVES, ItemFacts
from tests.models.hot.readers import NUM_ITEMS, make_readers

Site = tuple[ItemFacts, Asked]


@pytest.fixture(scope="module")
def site() -> Site:
    facts, train, evaluation, test = make_readers()
    return facts, Asked.of(test, train, evaluation)


def expected(asked: Asked, weights: np.ndarray) -> metrics.Ranks:
    """Ranks by the sums of [num_queries, num_events] weights of the log's events."""
    of_item = np.arange(NUM_ITEMS + 1)[:, None] == asked.rows
    scores = weights.astype(np.float64) @ of_item.T
    return metrics.rank_targets(scores, asked.queries.targets, asked.queries.histories)


def test_a_window_counts_what_was_before_the_query_and_not_long_before(site: Site) -> None:
    _, asked = site
    past = asked.now[:, None] - asked.at
    found, right = by_window(asked, 3_600, NUM_ITEMS + 1), expected(asked, (past > 0) & (past <= 3_600))
    np.testing.assert_array_equal(found.above, right.above)
    np.testing.assert_array_equal(found.tied, right.tied)
    assert (np.diff(asked.now) >= 0).all() and 0 < metrics.ndcg(found, 10).mean() < 0.5


def test_a_board_of_one_count_ranks_by_it(site: Site) -> None:
    facts, asked = site
    past = asked.now[:, None] - asked.at
    found = by_board(asked, facts, Blend(HALF_LIVES, {"hot_14400": 1.0}))
    right = expected(asked, np.where(past > 0, 0.5 ** (np.maximum(past, 0) / 14_400), 0))
    there = found.above < NUM_ITEMS
    assert there.mean() > 0.9  # What nobody has taken yet is on no board.
    np.testing.assert_array_equal(found.above[there], right.above[there])
