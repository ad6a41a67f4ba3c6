import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.towers import query_tower
from homefeed.models.retrieval.training import fit as training
from homefeed.models.retrieval.training.windows import Windows
from tests.models.retrieval import toy

TINY = Hyperparameters(
    width=4,
    num_layers=1,
    max_events=4,
    batch_size=4,
    epochs=2,
    learning_rate=0.1,
    ema_momentum=0.6,
    dropout=0.0,
)


def _weights(model: Any) -> Any:
    return [variable.numpy() for variable in model.trainable_variables]


def _learner(config: Any, train: Any, start: Any = lambda _: None) -> Any:
    """As `fit_towers` begins."""
    steps_per_epoch = Windows(train, 4).num_batches(np.random.default_rng(0), config.batch_size)
    return training.begin(toy.catalogue(), train, config, steps_per_epoch * config.epochs, start)


def test_what_training_keeps_is_the_mean_of_the_weights_after_each_step() -> None:
    train, nothing = toy.sequences(num_users=12), toy.sequences(num_users=2, num_targets=0, num_history=2)
    kept = _weights(training.fit_towers(toy.catalogue(), train, nothing, TINY))
    # The same steps one by one, and the means in NumPy.
    means, step = [], 0
    model, learner = _learner(TINY, train, lambda towers: means.extend(_weights(towers)))
    windows, generator = Windows(train, TINY.max_events), np.random.default_rng(TINY.seed)
    for _ in range(TINY.epochs):
        for batch in windows.epoch(generator, TINY.batch_size):
            learner.step(batch)
            step += 1
            share = min(0.6, (1 + step) / (10 + step))
            means = [share * mean + (1 - share) * now for mean, now in zip(means, _weights(model), strict=True)]
    assert step > 5  # Both sides of the minimum.
    for mean, found in zip(means, kept, strict=True):
        np.testing.assert_allclose(found, mean, rtol=1e-4, atol=1e-6)
    furthest = max(np.abs(last - mean).max() for last, mean in zip(_weights(model), means, strict=True))
    assert furthest > 0.01, "or the last weights would do as well"


def test_a_step_goes_down_the_gradient_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_tower, "HIDDEN", 0.0)  # Or each step would hide other times.
    train = toy.sequences(num_users=8)
    config = dataclasses.replace(TINY, weight_decay=0.0, warmup_fraction=0.01)
    model, learner = _learner(config, train)
    batch = next(Windows(train, 4).epoch(np.random.default_rng(0), 4))
    tensors = {name: tf.constant(column) for name, column in batch.items()}
    learner.step(batch)  # The rate is 0 in the first step, and the moments of AdamW begin.
    before = _weights(model)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(tensors, training=True)
    gradients = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, model.trainable_variables)]
    assert float(learner.step(batch)) == pytest.approx(float(loss), rel=1e-5)
    # Twice the same gradient: AdamW's corrected moments are the gradient and its square.
    for variable, old, gradient in zip(model.trainable_variables, before, gradients, strict=True):
        clear = np.abs(gradient) > 1e-3
        moved = (variable.numpy() - old)[clear]
        np.testing.assert_allclose(moved, -0.1 * np.sign(gradient[clear]), rtol=0.01)


def test_start_sees_the_weights_before_they_change_and_once() -> None:
    seen = []
    train = toy.sequences(num_users=8)
    model, learner = _learner(TINY, train, lambda towers: seen.append(_weights(towers)))
    for batch in Windows(train, 4).epoch(np.random.default_rng(0), 4):
        learner.step(batch)
    assert len(seen) == 1 and len(seen[0]) == len(model.trainable_variables)
