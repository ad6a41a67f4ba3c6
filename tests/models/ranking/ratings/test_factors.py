"""Mean-field variational Bayes, each update against its formula written out for one user, one item, one rating."""

import numpy as np
import pytest
import scipy.sparse

from homefeed.models.ranking.ratings import factors
from homefeed.models.ranking.ratings.factors import _Side

SIZE = 3  # A bias and two factors.
RNG = np.random.default_rng(0)


def _side(num: int, num_features: int = 2) -> _Side:
    roots = RNG.normal(size=(num, SIZE, SIZE))
    return _Side(
        features=RNG.normal(size=(num, num_features)),
        means=RNG.normal(size=(num, SIZE)),
        covariances=roots @ roots.transpose(0, 2, 1) / 10,
        precision=RNG.uniform(1, 3, SIZE),
        weights=RNG.normal(size=(num_features, SIZE)),
    )


USERS, ITEMS = _side(4), _side(5)
PAIRS = [(0, 1, 0.5), (0, 3, -1.0), (2, 1, 2.0), (3, 4, 0.3), (3, 0, -0.7), (3, 1, 1.1)]
_ROWS, _COLUMNS, _RATINGS = (np.array(column) for column in zip(*PAIRS, strict=True))
SEEN = scipy.sparse.csr_matrix((np.ones(len(PAIRS)), (_ROWS, _COLUMNS)), (4, 5))
CENTRED = scipy.sparse.csr_matrix((_RATINGS, (_ROWS, _COLUMNS)), (4, 5))


def _moments(side: _Side, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E[z], E[z zᵀ] and E[b z] of a row, where z = (1, x) and b is the row's bias."""
    bias, rest = side.means[row, 0], side.means[row, 1:]
    covariance = side.covariances[row]
    z = np.concatenate([[1.0], rest])
    second = np.outer(z, z)
    second[1:, 1:] += covariance[1:, 1:]
    return z, second, bias * z + np.concatenate([[0.0], covariance[0, 1:]])


def test_tables_of_items_are_moments_of_z() -> None:
    given = factors.RatingFactors(0.0, 1.0, ITEMS.means, ITEMS.covariances, USERS.precision, USERS.weights)
    design, with_bias = factors.item_tables(given)
    second = factors.second_moments(design, given.covariances)
    for row in range(5):
        z, expected, of_bias = _moments(ITEMS, row)
        np.testing.assert_allclose(design[row], z)
        np.testing.assert_allclose(second[row], expected)
        np.testing.assert_allclose(with_bias[row], of_bias - ITEMS.means[row, 0] * z, atol=1e-12)


def _tables() -> tuple[factors.Floats, factors.Floats, factors.Floats]:
    return factors._tables(ITEMS, np.empty_like(ITEMS.covariances))


def _part(start: int, stop: int) -> factors._Part:
    return factors._Part(slice(start, stop), SEEN[start:stop], CENTRED[start:stop])


def test_sums_over_the_ratings_of_each_user() -> None:
    squares, products = factors._sums(_tables(), _part(0, 4))
    for user in range(4):
        second, product = np.zeros((SIZE, SIZE)), np.zeros(SIZE)
        for row, item, rating in PAIRS:
            if row == user:
                z, expected, of_bias = _moments(ITEMS, item)
                second += expected
                product += rating * z - of_bias
        np.testing.assert_allclose(squares[user], second, atol=1e-12)
        np.testing.assert_allclose(products[user], product, atol=1e-12)


def test_a_posterior_is_a_bayesian_linear_regression() -> None:
    side, noise = _side(4), 0.4
    sums = factors._sums(_tables(), _part(0, 4))
    before = side.means[0].copy()
    factors._update(side, slice(1, 4), (sums[0][1:], sums[1][1:]), noise)
    assert np.array_equal(side.means[0], before)
    for user in range(1, 4):
        precision = np.diag(side.precision) + sums[0][user] / noise
        prior = side.features[user] @ side.weights
        mean = np.linalg.solve(precision, side.precision * prior + sums[1][user] / noise)
        np.testing.assert_allclose(side.covariances[user], np.linalg.inv(precision), rtol=1e-6)
        np.testing.assert_allclose(side.means[user], mean, rtol=1e-6)
    np.testing.assert_allclose(side.means[1], side.features[1] @ side.weights)  # User 1 rated nothing.


def test_a_prior_is_a_ridge_regression_and_its_precision_the_inverse_spread() -> None:
    side = _side(6)
    means, covariances = side.means.copy(), side.covariances.copy()
    side.learn_prior()
    gram = side.features.T @ side.features + 10.0 * np.eye(2)
    weights = np.linalg.solve(gram, side.features.T @ means)
    np.testing.assert_allclose(side.weights, weights)
    spread = [np.mean((means[:, k] - side.features @ weights[:, k]) ** 2 + covariances[:, k, k]) for k in range(SIZE)]
    np.testing.assert_allclose(side.precision, 1 / np.array(spread))


def test_the_expected_error_is_that_of_many_draws() -> None:
    parts = [_part(0, 2), _part(2, 4)]
    sums = [factors._sums(_tables(), part) for part in parts]
    found = factors._expected_error(USERS, ITEMS, parts, sums) / len(PAIRS)
    rng, errors = np.random.default_rng(1), []
    users = [rng.multivariate_normal(m, c, 20_000) for m, c in zip(USERS.means, USERS.covariances, strict=True)]
    items = [rng.multivariate_normal(m, c, 20_000) for m, c in zip(ITEMS.means, ITEMS.covariances, strict=True)]
    for user, item, rating in PAIRS:
        bias, rest = items[item][:, 0], items[item][:, 1:]
        predicted = bias + users[user][:, 0] + (rest * users[user][:, 1:]).sum(axis=1)
        errors.append(np.mean((rating - predicted) ** 2))
    assert found == pytest.approx(np.mean(errors), rel=0.03)


def test_a_fit_says_what_the_data_say() -> None:
    """Ratings 2 + bias of the item + 0.5 · kind of the user, without noise."""
    rng = np.random.default_rng(0)
    kinds, biases = rng.integers(0, 2, 40), rng.normal(size=12)
    user, item = np.nonzero(rng.random((40, 12)) < 0.8)
    rating = 2 + biases[item] + 0.5 * kinds[user]
    options = {"num_factors": 1, "iterations": 40, "seed": 0}
    fit = factors.fit(user, item, rating.astype(np.float32), np.eye(2)[kinds], np.ones((12, 1)), **options)
    assert fit.mean == pytest.approx(rating.mean())
    np.testing.assert_allclose(np.diff(fit.items[:, 0]), np.diff(biases), atol=0.05)
    # The ridge of 10 beside about 20 users of each kind keeps two thirds of the difference.
    assert fit.user_weights[1, 0] - fit.user_weights[0, 0] == pytest.approx(0.5 * 2 / 3, abs=0.05)
    assert fit.noise == pytest.approx(1e-3 * rating.var(), rel=0.5), "the least noise that there may be"


def test_no_ratings_no_error() -> None:
    nothing, ratings = np.empty(0, np.int64), np.empty(0, np.float32)
    features, options = (np.ones((2, 1)), np.ones((3, 1))), {"num_factors": 1, "iterations": 2, "seed": 0}
    fit = factors.fit(nothing, nothing, ratings, *features, **options)
    assert fit.mean == 0.0 and np.isfinite(fit.items).all()


def test_a_seed_gives_the_same_fit() -> None:
    given = _ROWS, _COLUMNS, _RATINGS.astype(np.float32), USERS.features, ITEMS.features
    first, second, other = (factors.fit(*given, num_factors=2, iterations=6, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.items, second.items)
    assert np.abs(first.items - other.items).max() > 1e-6


def test_users_and_items_in_parts_are_fitted_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    user, item = rng.integers(0, 50, 900), rng.integers(0, 30, 900)
    rating = (3 + np.sin(user) + np.cos(item) + rng.normal(0, 0.3, 900)).astype(np.float32)
    features = np.ones((50, 1)), np.ones((30, 1))
    whole = factors.fit(user, item, rating, *features, num_factors=3, iterations=6, seed=1)
    monkeypatch.setattr(factors, "_ROWS_AT_ONCE", 7)
    parted = factors.fit(user, item, rating, *features, num_factors=3, iterations=6, seed=1)
    for name, found in vars(parted).items():
        np.testing.assert_allclose(found, getattr(whole, name), rtol=1e-8, atol=1e-10, err_msg=name)
    assert abs(whole.items).max() > 0.1


def test_items_that_nobody_rated_change_nothing_and_have_what_their_features_say() -> None:
    given = _ROWS, _COLUMNS, _RATINGS.astype(np.float32), USERS.features
    some = factors.fit(*given, ITEMS.features, num_factors=2, iterations=6, seed=0)
    more = np.concatenate([ITEMS.features, 5 * ITEMS.features[:2]])
    found = factors.fit(*given, more, num_factors=2, iterations=6, seed=0)
    np.testing.assert_allclose(found.items[:5], some.items, rtol=1e-6)
    assert found.noise == pytest.approx(some.noise, rel=1e-6)
    weights = np.linalg.lstsq(more[[2, 5]], found.items[[2, 5]], rcond=None)[0]  # Neither of them was rated.
    np.testing.assert_allclose(more[6] @ weights, found.items[6], rtol=1e-6)
    assert np.abs(found.items[6]).max() > 1e-3
    assert not (found.covariances[[2, 5, 6]] * (1 - np.eye(SIZE))).any()
    assert (np.diagonal(found.covariances[6]) > np.diagonal(found.covariances[1])).all(), "one that was"


def test_ratings_that_are_all_equal_are_expected_again() -> None:
    given = _ROWS, _COLUMNS, np.full(len(PAIRS), 3.0, np.float32), USERS.features, ITEMS.features
    fit = factors.fit(*given, num_factors=2, iterations=6, seed=0)
    assert fit.mean == 3.0 and fit.noise > 0
    np.testing.assert_allclose(fit.items[:, 0], 0, atol=1e-3)
