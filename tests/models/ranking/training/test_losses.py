import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.ranking.training import losses


def test_listwise_softmax_sets_each_relevant_against_the_irrelevant() -> None:
    logits = tf.constant([[2.0, 1.0, 0.0, -1.0]])
    relevance = tf.constant([[1.0, 3.0, 0.0, 0.0]])
    irrelevant = tf.constant([[False, False, True, True]])
    # Candidate 0 alone against 2 and 3, candidate 1 against the same two, three times as heavy.
    against = np.exp(0) + np.exp(-1)
    expected = (np.log(1 + against / np.exp(2)) + 3 * np.log(1 + against / np.exp(1))) / 4
    assert float(losses.listwise_softmax(logits, relevance, irrelevant)) == pytest.approx(expected, abs=1e-6)


def test_nothing_relevant_and_nothing_irrelevant() -> None:
    logits = tf.constant([[5.0, -5.0]])
    assert float(losses.listwise_softmax(logits, tf.zeros([1, 2]), tf.constant([[True, True]]))) == 0
    alone = losses.listwise_softmax(logits, tf.constant([[1.0, 0.0]]), tf.constant([[False, False]]))
    assert float(alone) == pytest.approx(0, abs=1e-6)


def test_binary_cross_entropy_is_a_weighted_mean() -> None:
    loss = losses.binary_cross_entropy(
        tf.constant([0.0, 2.0, 9.0]), tf.constant([1.0, 0.0, 0.0]), tf.constant([1.0, 3.0, 0.0])
    )
    assert float(loss) == pytest.approx((np.log(2) + 3 * np.log1p(np.exp(2))) / 4, abs=1e-6)


def test_squared_error_ignores_what_has_no_weight() -> None:
    loss = losses.squared_error(tf.constant([1.0, 2.0]), tf.constant([4.0, np.nan]), tf.constant([2.0, 0.0]))
    assert float(loss) == pytest.approx(9.0)
    assert float(losses.squared_error(tf.constant([1.0]), tf.constant([np.nan]), tf.constant([0.0]))) == 0


@pytest.mark.parametrize("seed", range(3))
def test_listwise_softmax_in_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, relevance = rng.normal(size=(3, 6)), rng.integers(0, 3, (3, 6)).astype(float)
    irrelevant = rng.random((3, 6)) < 0.5
    losses_, weights = [], []
    for row in range(3):
        others = np.exp(logits[row][irrelevant[row]]).sum()
        for place in np.flatnonzero(relevance[row]):
            losses_.append(-np.log(np.exp(logits[row, place]) / (np.exp(logits[row, place]) + others)))
            weights.append(relevance[row, place])
    found = losses.listwise_softmax(*(tf.constant(x, tf.float32) for x in (logits, relevance)), irrelevant)
    assert float(found) == pytest.approx(np.average(losses_, weights=weights), rel=1e-5)


def test_huge_logits_give_numbers() -> None:
    logits = tf.constant([[1e4, -1e4]])
    relevance, irrelevant = tf.constant([[0.0, 1.0]]), tf.constant([[True, False]])
    assert float(losses.listwise_softmax(logits, relevance, irrelevant)) == pytest.approx(2e4)
    assert float(losses.binary_cross_entropy(logits, tf.constant([[0.0, 1.0]]), tf.ones([1, 2]))) == pytest.approx(
        1e4
    )


def test_squared_error_is_a_weighted_mean() -> None:
    found = losses.squared_error(tf.constant([1.0, 2.0]), tf.constant([4.0, 1.0]), tf.constant([1.0, 3.0]))
    assert float(found) == pytest.approx((9 * 1 + 1 * 3) / 4)
