from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import tensorflow as tf

from homefeed.models.ranking import export
from homefeed.models.ranking.training import blend


def test_standardise_is_the_same_in_numpy_and_in_the_graph() -> None:
    scores = np.array([[1.0, 2.0, 6.0, 99.0], [3.0, 3.0, 3.0, 3.0]], np.float32)
    present = np.array([[True, True, True, False], [True, True, True, True]])
    # Mean 3, deviation √((4 + 1 + 9) / 3).
    expected = np.array([[-2, -1, 3, 0], [0, 0, 0, 0]]) / np.sqrt(14 / 3)
    np.testing.assert_allclose(blend.standardise(scores, present), expected, atol=1e-5)
    in_graph = export.standardise(tf.constant(scores), tf.constant(present)).numpy()
    np.testing.assert_allclose(in_graph, expected, atol=1e-5)


def test_blend_finds_the_weights_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(4000, 9, 3))
    chance = scipy.special.softmax(parts @ [0.7, 1.5, 0.4], axis=1)
    target = (chance.cumsum(1) > rng.random((4000, 1))).argmax(1)
    fitted = blend.fit_blend(*np.moveaxis(parts, 2, 0), target, np.ones((4000, 9), bool))
    assert (fitted.retrieval, fitted.text) == (pytest.approx(0.7, abs=0.1), pytest.approx(0.4, abs=0.1))
    assert fitted.ranker == pytest.approx(1.5, abs=0.1)


def test_a_ranker_that_knows_nothing_is_not_listened_to() -> None:
    rng = np.random.default_rng(0)
    retrieval = np.tile(np.arange(9.0), (200, 1))
    noise = rng.normal(size=(200, 9))
    fitted = blend.fit_blend(retrieval, noise, noise[::-1], np.full(200, 8), np.ones((200, 9), bool))
    order = fitted.retrieval * retrieval + fitted.ranker * noise + fitted.text * noise[::-1]
    assert (order.argmax(1) == 8).all()


def test_nothing_found_on_eval() -> None:
    scores = np.zeros((3, 2))
    assert blend.fit_blend(scores, scores, scores, np.full(3, -1), np.ones((3, 2), bool)) == blend.Blend(
        1.0, 0.0, 0.0
    )


def test_the_most_likely_weights_are_where_the_gradient_is_nothing() -> None:
    """Expectation under the softmax equals what was chosen, up to the pull of 1e-4 towards the start."""
    rng = np.random.default_rng(3)
    parts = rng.normal(size=(3000, 6, 3))
    present = rng.random((3000, 6)) < 0.8
    present[:, 0] = True
    chance = scipy.special.softmax(np.where(present, parts @ [1.0, 0.8, 0.6], -np.inf), axis=1)
    target = (chance.cumsum(1) > rng.random((3000, 1))).argmax(1)
    likely = blend.most_likely_weights(parts, present, target)
    shares = scipy.special.softmax(np.where(present, parts @ likely, -np.inf), axis=1)
    expected = (shares[..., None] * parts).sum(1)
    chosen = parts[np.arange(len(target)), target]
    pull = 2e-4 * (likely - [1.0, 0.1, 1.0])
    np.testing.assert_allclose((expected - chosen).mean(0) + pull, 0, atol=2e-4)


def test_what_was_not_retrieved_says_nothing() -> None:
    rng = np.random.default_rng(3)
    parts = rng.normal(size=(3, 600, 6))
    target, present = rng.integers(0, 6, 600), np.ones((600, 6), bool)
    target[:500] = -1
    assert blend.fit_blend(*parts, target, present) == blend.fit_blend(*parts[:, 500:], target[500:], present[500:])


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_interest_is_the_log_odds_of_what_comes_next(scale: float) -> None:
    """Also where the ranker is scaled for the first places, or not listened to at all."""
    rng = np.random.default_rng(1)
    retrieval = rng.normal(size=(4_000, 20))
    target = (scipy.special.softmax(scale * retrieval, axis=1).cumsum(1) > rng.random((4_000, 1))).argmax(1)
    nothing = np.zeros_like(retrieval)
    fitted = blend.fit_blend(retrieval, nothing, nothing, target, np.ones(retrieval.shape, bool))
    assert fitted.retrieval == pytest.approx(scale, rel=0.05, abs=0.05)
    assert 1 / 3 < blend.most_likely_scale(retrieval[:1], target[:1]) < 3, "one list says little"


def test_what_is_absent_is_no_rival() -> None:
    """The best text is never there: without the mask, texts would speak against what was chosen."""
    rng = np.random.default_rng(0)
    retrieval, logits = rng.normal(size=(300, 4)), np.zeros((300, 4))
    texts = np.tile([0.0, 1.0, 0.5, 9.0], (300, 1))
    present = np.tile([True, True, True, False], (300, 1))
    fitted = blend.fit_blend(retrieval, logits, texts, np.ones(300, int), present)
    assert fitted.text > 1 and fitted.retrieval < 1


def test_no_weight_is_negative() -> None:
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(500, 5))
    fitted = blend.fit_blend(rng.normal(size=(500, 5)), np.zeros((500, 5)), texts, texts.argmin(1), texts > -99)
    assert fitted.text == 0.0 and fitted.retrieval >= 0


def test_the_rankers_weight_is_scaled_by_what_the_first_places_want() -> None:
    """The most likely weights by another optimiser, then NDCG@10 of each scale by hand."""
    rng = np.random.default_rng(1)
    retrieval, texts = np.tile(-np.arange(60.0) / 20, (300, 1)), np.zeros((300, 60))
    target = np.where(rng.random(300) < 0.5, 0, 40)
    logits = rng.normal(0, 1, (300, 60))
    logits[np.arange(300), target] += np.where(target == 40, 4.0, -0.5)

    def loss(weights: Any) -> Any:
        scores = retrieval * weights[0] + logits * weights[1]
        likelihood = scores[np.arange(300), target] - scipy.special.logsumexp(scores, axis=1)
        return -likelihood.mean() + 1e-4 * ((weights[0] - 1) ** 2 + (weights[1] - 0.1) ** 2)

    likely = scipy.optimize.minimize(loss, [1.0, 0.5], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}).x

    def quality(weights: Any) -> Any:
        scores = retrieval * weights[0] + logits * weights[1]
        rank = (scores > scores[np.arange(300), target][:, None]).sum(axis=1) + 1
        return np.where(rank <= 10, 1 / np.log2(1 + rank), 0).mean()

    tried = [likely * [1, scale] for scale in blend.SCALES]
    best = max([np.array([1.0, 0.0]), *tried], key=quality)
    fitted = blend.fit_blend(retrieval, logits, texts, target, np.ones((300, 60), bool))
    assert [1.0, fitted.ranker / fitted.retrieval] == pytest.approx(best / best[0], rel=0.02, abs=1e-3)
    assert abs(best[1] - likely[1]) > 0.05, "another scale than 1 is best here"


def test_standardise_of_nothing() -> None:
    assert not blend.standardise(np.float32([[5.0, 7.0]]), np.zeros((1, 2), bool)).any()
    np.testing.assert_allclose(blend.standardise(np.float32([[5.0, 9.0]]), np.array([[True, False]])), [[0.0, 0.0]])


def test_what_would_grow_without_end_is_held_by_the_pull_towards_the_start() -> None:
    """Of two candidates the chosen one always has the better text: the likelihood alone wants an endless weight."""
    texts = np.tile([1.0, 0.0], (50, 1))
    nothing, present = np.zeros((50, 2)), np.ones((50, 2), bool)
    retrieval, _, text = blend.most_likely_weights(
        np.stack([nothing, nothing, texts], -1), present, np.zeros(50, int)
    )
    best = scipy.optimize.minimize_scalar(
        lambda weight: np.logaddexp(0, -weight) + 1e-4 * (weight - 1) ** 2, bounds=(0, 50), method="bounded"
    )
    assert text == pytest.approx(best.x, rel=0.02)
    assert retrieval == pytest.approx(1.0, abs=1e-3), "of which eval says nothing"


def test_the_value_counts_as_far_as_lists_are_worth_no_less() -> None:
    """What is worth something always has the greater value; what is worth nothing has the greater interest."""
    rng = np.random.default_rng(0)
    interest, values = rng.normal(size=(500, 30)), rng.normal(size=(500, 30))
    target, worth = np.zeros(500, int), np.where(rng.random(500) < 0.5, 1.0, 0.0)
    interest[:, 0], values[:, 0] = 1.5, np.where(worth > 0, 1.5, -1.5)
    present = np.ones((500, 30), bool)

    def list_worth(weight: float) -> float:
        scores = interest + weight * values
        rank = (scores > scores[:, :1]).sum(axis=1) + 1
        return float((worth * np.where(rank <= 10, 1 / np.log2(1 + rank), 0)).mean())

    weights = [blend.fit_value_weight(interest, values, target, worth, present, price) for price in (0.0, 0.2)]
    assert 0.3 < weights[0] < weights[1]
    assert list_worth(weights[0]) > list_worth(0) and list_worth(weights[1]) >= 0.8 * list_worth(weights[0])
    assert blend.fit_value_weight(interest, values, target, 0 * worth, present, 0.0) == 0.0
    assert blend.fit_value_weight(interest, 0 * values, target, worth, present, 0.0) == 0.0


def test_what_is_worth_less_than_nothing_is_kept_from_the_page() -> None:
    """Dislikes alone: the greater their value is, the worse is the list."""
    rng = np.random.default_rng(0)
    interest, values = rng.normal(size=(300, 40)), rng.normal(size=(300, 40))
    values[:, 0] -= 2
    target, present = np.zeros(300, int), np.ones((300, 40), bool)
    assert blend.fit_value_weight(interest, values, target, np.full(300, -1.0), present, 0.0) > 1
