import dataclasses

import numpy as np
import tensorflow as tf

from homefeed.models.retrieval.index.filters import Filters
from tests.models.retrieval import toy

CATALOGUE = dataclasses.replace(
    toy.catalogue(),
    categorical={
        # Item 3 has both genres, item 7 none, item 6 one that is out of the vocabulary.
        "categories": np.array([[0, 0], [2, 0], [2, 0], [2, 3], [3, 0], [3, 0], [1, 0], [0, 0]], np.int32),
        "language": np.array([[0], [2], [3], [2], [3], [2], [3], [2]], np.int32),
        "colour": np.ones((8, 1), np.int32),
    },
    vocabularies={"categories": ("a", "b"), "language": ("en", "zh"), "colour": ("red",)},
)


def _passing(**asked: list[str]) -> list[int]:
    filters = Filters(CATALOGUE)
    request = {name: tf.constant([asked.get(name.removeprefix("filter_"), [""])]) for name in filters.specs}
    accepted = {name: mask[0] for name, mask in filters.read(request).items()}
    passed = filters.accepts(accepted)
    assert passed is not None
    return np.flatnonzero(passed.numpy()[1:]).__add__(1).tolist()


def test_only_features_that_people_filter_by_are_inputs() -> None:
    specs = Filters(CATALOGUE).specs
    assert specs.keys() == {"filter_categories", "filter_language"}
    assert all(spec.dtype == tf.string and spec.shape.as_list() == [None, None] for spec in specs.values())


def test_one_of_the_accepted_values_is_enough_and_each_feature_is_asked() -> None:
    assert _passing() == [1, 2, 3, 4, 5, 6, 7]
    assert _passing(categories=["a"]) == [1, 2, 3]
    assert _passing(categories=["b"]) == [3, 4, 5]
    assert _passing(categories=["a", "b"]) == [1, 2, 3, 4, 5]
    assert _passing(categories=["a"], language=["en"]) == [1, 3]
    assert _passing(language=["zh", ""]) == [2, 4, 6]


def test_a_value_that_no_item_has_accepts_none_of_its_own() -> None:
    assert _passing(categories=["nothing"]) == [], "not even what is out of the vocabulary"
    assert _passing(categories=["nothing", "a"]) == [1, 2, 3]


def test_requests_of_a_batch_ask_for_themselves() -> None:
    filters = Filters(CATALOGUE)
    asked = {"filter_categories": tf.constant([["a", ""], ["", ""]]), "filter_language": tf.constant([[""], ["zh"]])}
    read = filters.read(asked)
    # Positions: none, unknown, the two genres.
    assert read["categories"].numpy().tolist() == [[0, 0, 1, 0], [1, 1, 1, 1]]
    assert read["language"].numpy().tolist() == [[1, 1, 1, 1], [0, 0, 0, 1]]


def test_nothing_to_filter_by() -> None:
    plain = dataclasses.replace(CATALOGUE, categorical={}, vocabularies={})
    assert Filters(plain).specs == {} and Filters(plain).accepts({}) is None
