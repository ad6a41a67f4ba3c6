import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.training.weight_average import WeightAverage


def test_means_follow_the_weights() -> None:
    weights = [tf.Variable([8.0, -4.0]), tf.Variable(1.0)]
    average = WeightAverage(weights, momentum=0.5)
    expected = [weight.numpy() for weight in weights]
    rng = np.random.default_rng(0)
    for step in range(1, 12):
        for weight in weights:
            weight.assign(rng.normal(size=weight.shape))
        average.update(tf.constant(step, tf.int64))
        # (1 + t) / (10 + t) passes 1/2 at step 8: 2/11, 3/12, …, 9/18.
        kept = min(0.5, (1 + step) / (10 + step))
        expected = [kept * mean + (1 - kept) * weight.numpy() for mean, weight in zip(expected, weights, strict=True)]
    with average.applied():
        for weight, mean in zip(weights, expected, strict=True):
            np.testing.assert_allclose(weight.numpy(), mean, rtol=1e-5)


def test_the_last_weights_come_back_even_after_an_error() -> None:
    weight = tf.Variable(3.0)
    average = WeightAverage([weight], momentum=0.9)
    weight.assign(5.0)
    average.update(tf.constant(1))
    with pytest.raises(ZeroDivisionError), average.applied():
        assert float(weight) == pytest.approx(2 / 11 * 3 + 9 / 11 * 5)
        raise ZeroDivisionError
    assert float(weight) == 5.0
