import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.training import fit as training
from homefeed.models.retrieval.training import optimizer as optimizers
from homefeed.models.retrieval.training import windows
from tests.models.retrieval import toy

CONFIG = Hyperparameters(
    width=4, num_layers=1, max_events=4, learning_rate=0.1, warmup_fraction=0.2, weight_decay=0.5
)


def _rates(config: Any, num_steps: Any) -> Any:
    """What a weight without decay moves by where its gradient is always 1: AdamW's moments are then 1 as well."""
    optimizer = optimizers.adamw(dataclasses.replace(config, weight_decay=0.0), num_steps)
    kernel = tf.Variable(0.0, name="kernel")
    optimizer.build([kernel])
    moved = []
    for _ in range(num_steps + 1):
        before = float(kernel)
        optimizer.apply_gradients([(tf.constant(1.0), kernel)])
        moved.append(before - float(kernel))
    return moved


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine() -> None:
    # A fifth of 50 steps warms up; the other 40 are half a period of a cosine.
    rising = [0.1 * step / 10 for step in range(10)]
    falling = [0.1 * (1 + np.cos(np.pi * step / 40)) / 2 for step in range(41)]
    np.testing.assert_allclose(_rates(CONFIG, 50), rising + falling, atol=1e-5)


def test_at_least_one_step_warms_up() -> None:
    assert _rates(dataclasses.replace(CONFIG, warmup_fraction=0.0), 5)[:2] == [0.0, pytest.approx(0.1, abs=1e-5)]


def test_only_kernels_and_tables_decay() -> None:
    model = training.build(toy.catalogue(), toy.sequences(), CONFIG)
    batch = next(windows.Windows(toy.sequences(), 4).epoch(np.random.default_rng(0), 4))
    model.compute_loss({name: tf.constant(column) for name, column in batch.items()})
    for variable in model.trainable_variables:
        variable.assign(tf.fill(variable.shape, 2.0))
    optimizer = optimizers.adamw(CONFIG, num_steps=50)
    optimizer.build(model.trainable_variables)
    optimizer.iterations.assign(10)  # The highest rate.
    optimizer.apply_gradients([(tf.zeros(v.shape), v) for v in model.trainable_variables])
    decayed = set()
    for variable in model.trainable_variables:
        # Without a gradient nothing else moves a weight: 2 - rate · decay · 2.
        assert np.unique(variable.numpy()).tolist() in ([2.0], [pytest.approx(2 - 0.1 * 0.5 * 2)])
        if variable.numpy().ravel()[0] != 2.0:
            decayed.add(variable.name.partition("/")[2].partition(":")[0])
    assert decayed == {
        "ids",
        "tokens",
        "text_kernel",
        "features/categories",
        "features/price",
        "user/gender",
        "user/age",
        "event/value",
        "wait/embeddings",
        "event/event_type",
        *(f"attention_0/{name}/kernel" for name in ("project", "output")),
        "expand_0/kernel",
        "contract_0/kernel",
    }


def test_one_step_is_adamws() -> None:
    """Loshchilov and Hutter, 2019, Algorithm 2, by hand."""
    kernel = tf.Variable([1.0, -2.0], name="kernel")
    optimizer = optimizers.adamw(CONFIG, num_steps=50)
    optimizer.build([kernel])
    value, first, second = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for step, gradient in enumerate(([0.5, 3.0], [-1.0, 0.1], [2.0, 0.0]), start=1):
        gradient = np.array(gradient)
        optimizer.apply_gradients([(tf.constant(gradient, tf.float32), kernel)])
        rate = 0.1 * (step - 1) / 10
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        value -= rate * 0.5 * value
        value -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-7)
    np.testing.assert_allclose(kernel.numpy(), value, rtol=1e-4)
