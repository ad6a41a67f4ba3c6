import numpy as np

from homefeed.components.evaluator.queries import make_queries
from homefeed.components.evaluator.slices import slices
from tests.toy_data import toy_catalogue, toy_sequences


def test_slices_know_newcomers_lengths_popularity_and_categories() -> None:
    sequences, catalogue = toy_sequences(3, num_history=0), toy_catalogue()
    sequences.num_history[:] = [0, 2, 4]
    sequences.item_index[:] = [7, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5]
    queries = make_queries(sequences, 100)
    found = slices(queries, sequences, catalogue, 1)
    assert queries.rows[found["new users"]].tolist() == [0, 0, 0]
    assert queries.targets[found["new items"]].tolist() == [7]
    assert [len(queries.histories[query]) for query in np.flatnonzero(found["history of 0"])] == [0]
    # Training counts 6 5 4 3 2 1: of 21, items 1 and 2 begin within the first third, 3 and 4 in the second.
    assert set(queries.targets[found["popular items"]]) <= {1, 2}
    assert set(queries.targets[found["rare items"]]) <= {4, 5, 6}
    crime = catalogue.categorical["categories"] == 3
    assert found["category: crime"].tolist() == crime[queries.targets].any(axis=1).tolist()
    assert not slices(queries, sequences, catalogue, 100)
