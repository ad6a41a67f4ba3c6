from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.training.learner import Learner
from homefeed.models.shared import optimizers

CONFIG = Hyperparameters(learning_rate=0.1, weight_decay=0.5)
NUM_STEPS, NUM_ROWS = 20, 5


def _weights() -> list[keras.Variable]:
    rng = np.random.default_rng(0)
    shapes = {"id_embedding": (NUM_ROWS, 3), "kernel": (3, 2), "head_bias": (2,)}
    return [keras.Variable(rng.normal(size=shape), name=name, dtype="float32") for name, shape in shapes.items()]


def _loss(ids: Any, kernel: Any, bias: Any, rows: Any, factor: float) -> tf.Tensor:
    hidden = tf.gather(ids.value, rows) @ kernel.value + bias.value
    return factor * tf.reduce_sum(tf.square(hidden - 1.0))


@pytest.mark.parametrize("factor", [100.0, 1e-3], ids=["clipped", "not clipped"])
def test_a_table_that_is_read_whole_is_updated_as_keras_updates_it(factor: float) -> None:
    """Every row at every step, some twice: as AdamW with all gradients clipped together."""
    rows = tf.constant([0, 1, 2, 3, 4, 2])
    ids, *others = ours = _weights()
    learner = Learner([*others, ids], ids, CONFIG, NUM_STEPS)
    step = tf.function(lambda read: learner.step(lambda read: _loss(*ours, read, factor), read), autograph=False)
    theirs = _weights()
    adamw = optimizers.adamw(CONFIG.learning_rate, NUM_STEPS, CONFIG.weight_decay)
    adamw.build(theirs)
    for _ in range(6):
        found = step(rows)
        with tf.GradientTape() as tape:
            expected = _loss(*theirs, rows, factor)
        gradients = tape.gradient(expected, [weight.value for weight in theirs])
        adamw.apply([tf.convert_to_tensor(gradient) for gradient in gradients], theirs)
        assert float(found) == pytest.approx(float(expected), rel=1e-5)
    for mine, keras_own, start in zip(ours, theirs, _weights(), strict=True):
        np.testing.assert_allclose(np.array(mine), np.array(keras_own), rtol=1e-4, atol=1e-6)
        assert np.abs(np.array(mine) - np.array(start)).min() > 1e-3


def test_a_row_that_no_step_read_stays() -> None:
    ids, *others = weights = _weights()
    learner = Learner(weights, ids, CONFIG, NUM_STEPS)
    for row in (1, 3, 1):
        learner.step(lambda rows: _loss(ids, *others, rows, 1.0), tf.constant([row]))
    changed = (np.array(ids) != np.array(_weights()[0])).any(axis=1)
    assert changed.tolist() == [False, True, False, True, False]
