import keras
import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.shared import optimizers


def _moves(num_steps: int, gradient: float = 1.0, **options: float) -> list[float]:
    """What each step moves a kernel by."""
    kernel = keras.Variable(np.float32([0.0]), name="kernel")
    optimizer = optimizers.adamw(0.1, num_steps, weight_decay=0.0, **options)
    optimizer.build([kernel])
    moved = []
    for _ in range(num_steps):
        before = float(kernel[0])
        optimizer.apply([tf.constant([gradient])], [kernel])
        moved.append(before - float(kernel[0]))
    return moved


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine() -> None:
    # A tenth of 40 steps warms up; where the gradient is always 1, AdamW moves by the rate.
    expected = [0.1 * step / 4 for step in range(4)] + [0.05 * (1 + np.cos(np.pi * step / 36)) for step in range(36)]
    np.testing.assert_allclose(_moves(40), expected, atol=1e-5)
    half = [0.1 * step / 5 for step in range(5)] + [0.05 * (1 + np.cos(np.pi * step / 5)) for step in range(5)]
    np.testing.assert_allclose(_moves(10, warmup_fraction=0.5), half, atol=1e-5)


def test_biases_norms_and_embeddings_are_not_decayed() -> None:
    names = ("kernel", "bias", "gamma", "beta", "id_embedding", "embeddings", "recency_embedding")
    variables = [keras.Variable(np.full(2, 2.0, np.float32), name=name) for name in names]
    optimizer = optimizers.adamw(0.1, 10, weight_decay=0.5, warmup_fraction=0.0)
    optimizer.build(variables)
    for _ in range(2):  # The rate of the first step is 0.
        optimizer.apply([tf.zeros(2)] * len(variables), variables)
    found = {variable.name: float(variable[0]) for variable in variables}
    assert found.pop("kernel") == pytest.approx(2 - 0.1 * 0.5 * 2, abs=1e-4)
    assert set(found.values()) == {2.0}


def test_the_norm_of_all_gradients_is_clipped_at_one() -> None:
    """AdamW forgets a gradient's length, unless one step is long and the next short."""

    def after(gradients: list[float]) -> float:
        kernel = keras.Variable(np.float32([0.0]), name="kernel")
        optimizer = optimizers.adamw(0.1, 100, weight_decay=0.0, warmup_fraction=0.0)
        optimizer.build([kernel])
        for gradient in gradients:
            optimizer.apply([tf.constant([gradient])], [kernel])
        return float(kernel[0])

    assert after([500.0, 0.5, 0.5]) == pytest.approx(after([1.0, 0.5, 0.5]), rel=1e-5)
    assert after([0.9, 0.5, 0.5]) != pytest.approx(after([1.0, 0.5, 0.5]), rel=1e-3)
