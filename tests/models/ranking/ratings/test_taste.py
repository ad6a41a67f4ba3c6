import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.ranking.ratings import factors as rating_factors
from homefeed.models.ranking.ratings import fits as rating_fits
from homefeed.models.ranking.ratings import taste as rating_taste
from tests.toy_data import toy_catalogue, toy_sequences


def _ratings(num_users: int = 60, num_rows: int = 25) -> tuple[np.ndarray, ...]:
    """Ratings 3 + item's bias + user's bias + one factor, that follows from a feature on both sides."""
    rng = np.random.default_rng(0)
    kind_of_user, kind_of_item = rng.integers(0, 2, num_users), rng.integers(0, 2, num_rows)
    user, item = np.nonzero(rng.random((num_users, num_rows)) < 0.6)
    taste = np.where(kind_of_user[user] == kind_of_item[item], 1.0, -1.0)
    bias = rng.normal(0, 0.5, num_rows)
    rating = 3 + bias[item] + taste + rng.normal(0, 0.1, len(user))
    keep = item != 7
    return user[keep], item[keep], rating[keep], np.eye(2)[kind_of_user], np.eye(2)[kind_of_item], bias


def _fit(
    user: np.ndarray, item: np.ndarray, rating: np.ndarray, *features: np.ndarray
) -> rating_factors.RatingFactors:
    return rating_factors.fit(user, item, rating.astype(np.float32), *features, num_factors=2, iterations=30, seed=0)


def _predict(
    fit: rating_factors.RatingFactors, rows: list[int], ratings: list[float], user: np.ndarray
) -> np.ndarray:
    taste = rating_taste.RatingTaste([fit])
    mean, deviation = taste(
        tf.constant([0]),
        tf.constant([rows], tf.int32),
        tf.constant([ratings], tf.float32),
        tf.constant(user[None], tf.float32),
        tf.range(len(fit.items))[None],
    )
    assert (deviation.numpy() >= np.sqrt(fit.noise)).all()
    return mean.numpy()[0]


def test_a_new_user_is_understood_from_few_ratings() -> None:
    user, item, rating, user_features, item_features, bias = _ratings()
    fit = _fit(user, item, rating, user_features, item_features)
    assert fit.noise == pytest.approx(0.01, rel=0.5)
    like = np.flatnonzero(item_features[:, 0])
    # Somebody who likes kind 0, and of whom nothing else is known, as three ratings tell.
    predicted = _predict(
        fit, [*like[:3], 0], [4 + bias[like[0]], 4 + bias[like[1]], 4 + bias[like[2]], np.nan], np.zeros(2)
    )
    expected = 3 + bias + np.where(item_features[:, 0], 1, -1)
    known = np.arange(len(expected)) != 7
    np.testing.assert_allclose(predicted[known], expected[known], atol=0.35)


def test_an_unrated_item_is_known_by_its_features() -> None:
    user, item, rating, user_features, item_features, _ = _ratings()
    fit = _fit(user, item, rating, user_features, item_features)
    same, other = (
        _predict(fit, [0], [np.nan], np.eye(2)[k])[7]
        for k in (item_features[7].argmax(), 1 - item_features[7].argmax())
    )
    assert same - other > 0.5


def test_the_graph_solves_the_same_regression_as_numpy() -> None:
    user, item, rating, user_features, item_features, _ = _ratings()
    fit = _fit(user, item, rating, user_features, item_features)
    rows, ratings = np.array([3, 5, 9]), np.array([1.0, 5.0, 4.0])
    design, with_bias = rating_factors.item_tables(fit)
    second = rating_factors.second_moments(design, fit.covariances)
    precision = np.diag(fit.user_precision) + second[rows].sum(0) / fit.noise
    right = fit.user_precision * (user_features[0] @ fit.user_weights)
    right += (design[rows].T @ (ratings - fit.mean - fit.items[rows, 0]) - with_bias[rows].sum(0)) / fit.noise
    expected = fit.mean + fit.items[:, 0] + design @ np.linalg.solve(precision, right)
    np.testing.assert_allclose(_predict(fit, rows.tolist(), ratings.tolist(), user_features[0]), expected, atol=1e-3)


def test_folds_leave_their_users_out() -> None:
    train = toy_sequences()
    design = rating_fits.FeatureDesign(train.categorical, train.numeric, train.vocabularies)
    options = {"num_factors": 2, "iterations": 4, "max_users": 99, "seed": 0}
    fits = list(rating_fits.fit(toy_catalogue(), train, design, **options))
    of_user_0 = int(rating_fits.fold(np.array([0]))[0])
    value = train.value.copy()
    value[: train.row_splits[1]] = 1000
    changed = rating_fits.fit(
        toy_catalogue(), dataclasses.replace(train, event_numeric={"value": value}), design, **options
    )
    same = [np.array_equal(a.items, b.items) for a, b in zip(fits, changed, strict=True)]
    assert same == [number == of_user_0 for number in range(len(fits))]


def test_features_are_the_same_in_numpy_and_in_the_graph() -> None:
    train = toy_sequences()
    train.numeric["age"][1] = np.nan
    design = rating_fits.FeatureDesign(train.categorical, train.numeric, train.vocabularies)
    expected = design(train.categorical, train.numeric)
    features = {name: tf.constant(column) for name, column in (*train.categorical.items(), *train.numeric.items())}
    np.testing.assert_allclose(design.in_graph(features, tf.zeros(train.num_users)).numpy(), expected, atol=1e-6)


def test_no_ratings_no_fits() -> None:
    train = toy_sequences()
    train.value[:] = np.nan
    design = rating_fits.FeatureDesign({}, {}, {})
    assert not list(rating_fits.fit(toy_catalogue(), train, design, num_factors=2, iterations=1, max_users=9, seed=0))


def _uncertain() -> rating_factors.RatingFactors:
    """Factors of four items that are far from sure, biases least of all."""
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(4, 3, 3))
    return rating_factors.RatingFactors(
        mean=3.2,
        noise=0.7,
        items=rng.normal(size=(4, 3)),
        covariances=roots @ roots.transpose(0, 2, 1) / 2,
        user_precision=np.array([1.5, 0.8, 2.0]),
        user_weights=rng.normal(size=(2, 3)),
    )


def test_mean_and_deviation_in_numpy_where_factors_are_uncertain() -> None:
    """One regression by its normal equations, items' uncertainty and its covariance with their biases counted."""
    fit = _uncertain()
    rows, ratings, user = [1, 3, 0, 2], [4.0, 1.5, np.nan, 5.0], np.array([0.3, -1.0])
    precision, right = np.diag(fit.user_precision), fit.user_precision * (user @ fit.user_weights)
    for row, rating in ((1, 4.0), (3, 1.5), (2, 5.0)):
        z = np.concatenate([[1.0], fit.items[row, 1:]])
        second = np.outer(z, z)
        second[1:, 1:] += fit.covariances[row, 1:, 1:]
        with_bias = np.concatenate([[0.0], fit.covariances[row, 0, 1:]])
        precision = precision + second / fit.noise
        right = right + (z * (rating - fit.mean - fit.items[row, 0]) - with_bias) / fit.noise
    taste, covariance = np.linalg.solve(precision, right), np.linalg.inv(precision)
    found = rating_taste.RatingTaste([fit])(
        tf.constant([0]),
        tf.constant([rows], tf.int32),
        tf.constant([ratings], tf.float32),
        tf.constant(user[None], tf.float32),
        tf.constant([[2, 3]]),
    )
    for place, row in enumerate((2, 3)):
        z = np.concatenate([[1.0], fit.items[row, 1:]])
        mean = fit.mean + fit.items[row, 0] + z @ taste
        variance = fit.noise + z @ covariance @ z + fit.covariances[row, 0, 0]
        assert float(found[0][0, place]) == pytest.approx(mean, rel=1e-3)
        assert float(found[1][0, place]) == pytest.approx(np.sqrt(variance), rel=1e-3)


def test_each_user_has_the_fit_that_was_named_and_serving_keeps_the_first() -> None:
    first, second = _uncertain(), dataclasses.replace(_uncertain(), mean=-2.0, noise=0.1)
    taste = rating_taste.RatingTaste([first, second])
    asked = (tf.constant([[1]] * 2), tf.constant([[4.0]] * 2), tf.zeros([2, 2]), tf.constant([[2, 3]] * 2))
    both = taste(tf.constant([0, 1]), *asked)
    for which, fit in enumerate((first, second)):
        alone = rating_taste.RatingTaste([fit])(tf.constant([0]), *(column[:1] for column in asked))
        np.testing.assert_allclose(both[0][which], alone[0][0], rtol=1e-4)
        np.testing.assert_allclose(both[1][which], alone[1][0], rtol=1e-4)
    sizes = [int(tf.size(constant)) for constant in taste.constants]
    taste.keep_serving_fit()
    assert [2 * int(tf.size(constant)) for constant in taste.constants] == sizes
    np.testing.assert_allclose(taste(tf.constant([0, 0]), *asked)[0][0], both[0][0], rtol=1e-3)


def test_serving_keeps_half_the_precision_of_the_large_tables_and_nearly_says_the_same() -> None:
    user, item, rating, user_features, item_features, _ = _ratings()
    taste = rating_taste.RatingTaste([_fit(user, item, rating, user_features, item_features)])
    asked = (tf.constant([[3, 5, 9]]), tf.constant([[1.0, 5.0, 4.0]]), tf.constant(user_features[:1], tf.float32))
    before = taste(tf.constant([0]), *asked, tf.range(taste.num_rows)[None])
    taste.keep_serving_fit()
    halves = [constant for constant in taste.constants if constant.dtype == tf.float16]
    assert [constant.shape[1] for constant in halves] == [3, 3, 3]  # Design, half a matrix of two factors, with bias.
    after = taste(tf.constant([0]), *asked, tf.range(taste.num_rows)[None])
    np.testing.assert_allclose(after[0], before[0], atol=5e-3)
    np.testing.assert_allclose(after[1], before[1], rtol=5e-3)


def test_a_matrix_in_half_precision_can_be_solved_however_little_is_known_beside_it() -> None:
    """Items that are uncertain in some directions alone, little noise and no prior to speak of."""
    rng = np.random.default_rng(0)
    size, rows = 9, np.arange(1, 41)
    roots = rng.normal(size=(41, size, 2))
    fit = rating_factors.RatingFactors(
        mean=0.0,
        noise=1e-3,
        items=np.zeros((41, size)),
        covariances=np.repeat(roots[:1] @ roots[:1].transpose(0, 2, 1), 41, axis=0),
        user_precision=np.full(size, 1e-2),
        user_weights=np.zeros((1, size)),
    )
    taste = rating_taste.RatingTaste([fit])
    taste.keep_serving_fit()
    mean, deviation = taste(
        tf.constant([0]), tf.constant([rows], tf.int32), tf.ones([1, 40]), tf.zeros([1, 1]), tf.constant([[1]])
    )
    assert np.isfinite(mean.numpy()).all() and np.isfinite(deviation.numpy()).all()


def test_covariances_that_half_precision_cannot_hold_stay_as_they_are() -> None:
    fit = dataclasses.replace(_uncertain(), covariances=2e5 * _uncertain().covariances)
    taste = rating_taste.RatingTaste([fit])
    ratings = tf.constant([[4.0, np.nan, 2.0]])  # Nothing infinite times nothing.
    asked = tf.constant([0]), tf.constant([[1, 2, 3]]), ratings, tf.zeros([1, 2]), tf.constant([[1, 2, 3]])
    before = taste(*asked)
    taste.keep_serving_fit()
    for found, expected in zip(taste(*asked), before, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-2)


@pytest.mark.parametrize("scale", [1e3, 1.0, 1e-4, 1e-6])
def test_covariances_in_half_precision_are_smaller_in_no_direction(scale: float) -> None:
    roots = np.random.default_rng(0).normal(size=(50, 5, 1))
    exact = (scale * roots @ roots.transpose(0, 2, 1)).astype(np.float32)
    row, column = np.triu_indices(5)
    places = np.zeros((5, 5), np.int32)
    places[row, column] = places[column, row] = np.arange(15)
    half = rating_taste._halved_covariances(exact[:, row, column], places)
    assert half.dtype == np.float16
    difference = half[:, places].astype(np.float64) - exact
    assert np.linalg.eigvalsh(difference).min() >= -1e-12 * scale
    assert np.abs(difference).max() <= 5 * 2**-10 * np.abs(exact).max() + 1e-6
