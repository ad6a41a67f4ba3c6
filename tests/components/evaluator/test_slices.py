import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.components.evaluator.queries import make_queries
from homefeed.components.evaluator.slices import is_guarded, popularity_thirds, slices
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


def test_the_largest_categories_alone_are_slices() -> None:
    sequences, catalogue = toy_sequences(4, num_items=40), toy_catalogue(40)
    queries = make_queries(sequences, 100)
    # A category of its own for each item, as where ids were declared as one, and one of them for all.
    names = tuple(f"c{row}" for row in range(1, 40 + 1))
    catalogue.vocabularies["categories"] = names
    own = np.arange(len(catalogue.train_counts), dtype=np.int32) + 1
    catalogue.categorical["categories"] = np.stack([own, np.full_like(own, 2)], axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("homefeed.components.evaluator.slices.MAX_CATEGORIES", 3)
        found = slices(queries, sequences, catalogue, 1)
    kept = {name: int(mask.sum()) for name, mask in found.items() if name.startswith("category: ")}
    assert len(kept) == 3 and kept["category: c1"] == len(queries)


@pytest.mark.parametrize(
    ("name", "guarded"),
    [
        ("new users", True),
        ("new items", True),
        ("category: drama", True),
        ("popular items", False),
        ("history of 0", False),
        ("categories", False),
    ],
)
def test_newcomers_and_each_category_are_guarded(name: str, guarded: bool) -> None:
    assert is_guarded(name) is guarded


def test_a_catalogue_without_categories_has_no_slices_of_them() -> None:
    catalogue = toy_catalogue()
    catalogue.categorical.pop("categories")
    sequences = toy_sequences(3, num_history=1)
    found = slices(make_queries(sequences, 100), sequences, catalogue, 1)
    assert found and not [name for name in found if name.startswith("category: ")]


def test_lengths_of_histories_part_all_queries() -> None:
    sequences = toy_sequences(4, num_items=40)
    queries = make_queries(sequences, 100)
    found = slices(queries, sequences, toy_catalogue(40), 1)
    parts = [mask for name, mask in found.items() if name.startswith("history of ")]
    assert (np.sum(parts, axis=0) == 1).all()
    lengths = np.array([len(history) for history in queries.histories])
    np.testing.assert_array_equal(found["history of 5 to 19"], (lengths >= 5) & (lengths <= 19))
    assert "history of 20 or more" not in found  # Nobody has had so many.


@given(st.lists(st.integers(0, 30), min_size=1, max_size=20))
def test_thirds_hold_a_third_of_the_interactions_each_but_for_one_item(counts: list[int]) -> None:
    train_counts = np.array(counts)
    thirds = popularity_thirds(train_counts)
    assert ((thirds == -1) == (train_counts == 0)).all()
    total, largest = train_counts.sum(), train_counts.max()
    for third in range(3):
        assert train_counts[thirds <= third].sum() - train_counts[train_counts == 0].sum() >= (third + 1) / 3 * total
        assert train_counts[thirds < third].sum() <= third / 3 * total + largest
    order = np.argsort(-train_counts, kind="stable")
    known = thirds[order][train_counts[order] > 0]
    assert (np.diff(known) >= 0).all()
