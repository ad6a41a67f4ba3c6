import dataclasses
from typing import Any

import numpy as np
import pytest

from homefeed.models.ranking.ratings import factors as rating_factors
from homefeed.models.ranking.ratings import fits
from tests.toy_data import toy_catalogue, toy_sequences


def test_folds_take_turns_and_none_is_the_fit_to_all() -> None:
    assert fits.fold(np.arange(7)).tolist() == [1, 2, 3, 1, 2, 3, 1]


def test_columns_are_ones_shares_and_buckets() -> None:
    categorical = {"genre": np.array([[2, 3], [2, 0], [0, 0], [1, 1]], np.int32)}
    numeric = {"age": np.array([[1.0], [np.nan], [3.0], [2.0]], np.float32), "face": np.ones((4, 2), np.float32)}
    design = fits.FeatureDesign(categorical, numeric, {"genre": ("a", "b")})
    assert list(design.edges) == ["age"], "embeddings are left out"
    found = design(categorical, numeric)
    # A one; none, unknown, a, b; unknown age and the buckets around 15 edges.
    assert found.shape == (4, 1 + 4 + 1 + len(design.edges["age"]) + 1)
    assert found[:, 0].tolist() == [1] * 4
    assert found[:, 1:5].tolist() == [[0, 0, 0.5, 0.5], [0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    assert (found[:, 5:].sum(axis=1) == 1).all() and found[1, 5] == 1 and found[0, 5] == 0
    assert found[0, 5:].argmax() < found[3, 5:].argmax() < found[2, 5:].argmax()


def test_the_fits_see_what_they_should(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets with a rating and an item of the catalogue; each fold without its users, in half the passes."""
    train = toy_sequences(num_history=1)
    train.item_index[train.row_splits[2] + 1] = 0
    seen = []

    def record(user: Any, item: Any, rating: Any, user_features: Any, item_features: Any, **options: Any) -> None:
        seen.append((user, item, rating, user_features.shape, item_features.shape, options))

    monkeypatch.setattr(rating_factors, "fit", record)
    design = fits.FeatureDesign(train.categorical, train.numeric, train.vocabularies)
    list(fits.fit(toy_catalogue(), train, design, num_factors=2, iterations=10, max_users=9, seed=3))
    targets = train.targets
    kept = targets[np.isfinite(train.value[targets]) & (train.item_index[targets] > 0)]
    users = np.searchsorted(train.row_splits, kept, side="right") - 1
    assert len(seen) == 1 + fits.NUM_FOLDS
    for number, (user, item, rating, user_shape, item_shape, options) in enumerate(seen):
        mine = fits.fold(users) != number
        assert user.tolist() == users[mine].tolist()
        assert item.tolist() == train.item_index[kept][mine].tolist()
        assert rating.tolist() == train.value[kept][mine].tolist()
        assert (user_shape[0], item_shape[0]) == (5, 8)
        assert options == {"num_factors": 2, "iterations": 5 if number else 10, "seed": 3}


def test_of_many_users_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    train = toy_sequences(num_history=1)
    targets = train.targets
    design = fits.FeatureDesign(train.categorical, train.numeric, train.vocabularies)
    features = design(train.categorical, train.numeric)
    seen = []

    def record(user: Any, item: Any, rating: Any, user_features: Any, item_features: Any, **options: Any) -> None:
        seen.append((user, rating, user_features))

    monkeypatch.setattr(rating_factors, "fit", record)
    list(fits.fit(toy_catalogue(), train, design, num_factors=2, iterations=10, max_users=2, seed=3))
    user, rating, of_users = seen[0]
    rated = targets[np.isfinite(train.value[targets]) & (train.item_index[targets] > 0)]
    owner = np.searchsorted(train.row_splits, rated, side="right") - 1
    drawn = sorted(np.random.default_rng(3).permutation(train.num_users)[:2])
    np.testing.assert_array_equal(of_users, features[drawn])
    assert np.array(drawn)[user].tolist() == owner[np.isin(owner, drawn)].tolist()
    assert rating.tolist() == train.value[rated][np.isin(owner, drawn)].tolist()


def test_without_features_a_column_of_ones_is_left() -> None:
    catalogue = dataclasses.replace(toy_catalogue(), categorical={}, numeric={})
    train = dataclasses.replace(toy_sequences(), categorical={}, numeric={})
    design = fits.FeatureDesign({}, {}, {})
    found = list(fits.fit(catalogue, train, design, num_factors=2, iterations=2, max_users=9, seed=0))
    assert [fit.user_weights.shape for fit in found] == [(1, 3)] * 4
    assert [fit.items.shape for fit in found] == [(8, 3)] * 4
