import numpy as np
import pytest
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


def test_calibration_finds_slope_and_offset() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    positive = (rng.random(20_000) < scipy.special.expit(0.5 * logits - 1)).astype(float)
    fitted = blend.fit_calibration(logits, positive)
    assert (fitted.slope, fitted.offset) == (pytest.approx(0.5, abs=0.05), pytest.approx(-1, abs=0.05))


def test_one_kind_of_answer_calibrates_nothing() -> None:
    assert blend.fit_calibration(np.arange(3.0), np.ones(3)) == blend.Calibration()
