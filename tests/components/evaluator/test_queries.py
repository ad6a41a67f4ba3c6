from homefeed.components.evaluator.queries import make_queries
from tests.toy_data import toy_sequences


def test_a_query_is_an_event_of_the_split_on_a_known_item_that_is_new_to_the_user() -> None:
    sequences = toy_sequences(3, num_history=2)
    # Users have 3, 4 and 5 events: 1, 2 and 3 of them in the split.
    sequences.item_index[:] = [1, 2, 3, 1, 2, 1, 4, 5, 6, 7, 0, 5]
    queries = make_queries(sequences, 100)
    found = {(row, end, target) for row, end, target in zip(queries.rows, queries.ends, queries.targets, strict=True)}
    assert found == {(0, 2, 3), (1, 6, 4), (2, 9, 7)}
    (longest,) = (h for h, row in zip(queries.histories, queries.rows, strict=True) if row == 1)
    assert longest.tolist() == [1, 2, 1]


def test_a_large_split_is_sampled() -> None:
    assert len(make_queries(toy_sequences(5, num_items=40), 4)) == 4
