import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.towers.two_tower import TwoTower
from homefeed.models.retrieval.training import fit as training
from homefeed.models.retrieval.training.lazy_table import LazyTable
from homefeed.models.retrieval.training.learner import Learner
from homefeed.models.retrieval.training.windows import Windows
from tests.models.retrieval import toy

SAMPLED = Hyperparameters(
    width=4,
    num_layers=1,
    max_events=4,
    batch_size=2,
    dropout=0.0,
    learning_rate=0.1,
    max_softmax_items=0,
    num_sampled=2,
)
STEPS = [  # Rows of a table of 5, and the gradients of the two numbers in each.
    ([2, 0], [[0.5, -1.0], [2.0, 0.1]]),
    ([2, 4, 2], [[1.0, 1.0], [0.3, -0.2], [-3.0, 0.5]]),  # Row 2 twice: its gradients add up.
    ([0], [[-1.0, 4.0]]),
    ([], np.empty((0, 2))),
    ([4, 2], [[0.7, 0.7], [0.1, -0.1]]),
]


def _slices(rows: Any, values: Any) -> tf.IndexedSlices:
    return tf.IndexedSlices(tf.constant(values, tf.float32), tf.constant(rows, tf.int32))


@pytest.mark.parametrize("momenta", [(0.2, 0.3, 0.5, 0.9, 0.9), (0.0, 0.5, 0.0, 0.5, 0.5)])
def test_rows_with_a_gradient_are_adamws_and_means_are_those_of_every_step(momenta: Any) -> None:
    """Loshchilov and Hutter, 2019, Algorithm 2, by hand, of the rows that are named; the means of all rows."""
    value = np.arange(10, dtype=np.float64).reshape(5, 2) - 4.0
    table = tf.Variable(value, dtype=tf.float32)
    lazy = LazyTable(table, weight_decay=0.5)
    first, second, mean = np.zeros((5, 2)), np.zeros((5, 2)), value.copy()
    for step, ((rows, gradients), momentum) in enumerate(zip(STEPS, momenta, strict=True), start=1):
        rate = 0.01 * step
        lazy.update(_slices(rows, gradients), tf.constant(step), tf.constant(rate), tf.constant(momentum))
        summed = np.zeros((5, 2))
        np.add.at(summed, np.array(rows, int), np.asarray(gradients))
        for row in set(rows):
            first[row] = 0.9 * first[row] + 0.1 * summed[row]
            second[row] = 0.999 * second[row] + 0.001 * summed[row] ** 2
            value[row] -= rate * 0.5 * value[row]
            corrected = np.sqrt(second[row] / (1 - 0.999**step)) + 1e-7
            value[row] -= rate * first[row] / (1 - 0.9**step) / corrected
        mean = momentum * mean + (1 - momentum) * value
        np.testing.assert_allclose(table.numpy(), value, rtol=1e-4)
        np.testing.assert_allclose(lazy.mean().numpy(), mean, rtol=1e-4, atol=1e-5)
    assert table.numpy()[[1, 3]].tolist() == [[-2.0, -1.0], [2.0, 3.0]]  # Of which no step knew anything.


def test_a_row_that_every_step_reads_is_updated_as_adamw_updates_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sampled softmax that reads every item at every step: lazily and densely, the same weights and means."""
    trained = []
    every = tf.constant([1, 2, 3, 4, 5, 6], tf.int32)
    for tables in (TwoTower.item_tables, property(lambda _: [])):
        monkeypatch.setattr(TwoTower, "item_tables", tables)
        config = dataclasses.replace(SAMPLED, batch_size=12)
        model, learner = _learner(config)
        monkeypatch.setattr(model, "compute_loss", lambda b, training=False, m=model: m.sampled_loss(b, every, False))
        for batch in Windows(toy.sequences(), 4).epoch(np.random.default_rng(0), config.batch_size):
            for _ in range(5):
                learner.step(batch)
        with learner.averaged():
            trained.append([variable.numpy()[1:] for variable in model.candidate_tower.weights[:1]])
    for lazily, densely in zip(*trained, strict=True):
        np.testing.assert_allclose(lazily, densely, rtol=1e-3, atol=1e-4)


def test_a_step_leaves_the_ids_of_other_items_alone() -> None:
    model, learner = _learner(SAMPLED)
    batch = _of_items_1_to_3(model)
    learner.step(batch)  # The rate is 0 in the first step.
    before = model.candidate_tower.ids.numpy()
    learner.step(batch)
    changed = np.flatnonzero((model.candidate_tower.ids.numpy() != before).any(axis=1))
    # Row 0 is padding's: it decays, and nothing reads it.
    assert set(changed) <= {0, 1, 2, 3} and set(np.unique(batch["item"])) - {0} <= set(changed)


def test_a_strategy_updates_every_row() -> None:
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        model, learner = _learner(dataclasses.replace(SAMPLED, weight_decay=0.5))
        batch = _of_items_1_to_3(model)
        learner.step(batch)  # The rate is 0 in the first step.
        before = model.candidate_tower.ids.numpy()
        learner.step(batch)
    assert (model.candidate_tower.ids.numpy() != before).any(axis=1).all()


def test_the_full_softmax_has_no_such_tables() -> None:
    model, _ = _learner(dataclasses.replace(SAMPLED, max_softmax_items=6))
    assert not model.item_tables


def _of_items_1_to_3(model: TwoTower) -> Any:
    """A batch, beside negatives of the same items."""
    model._trained = model._trained[:3]
    batch = next(Windows(toy.sequences(num_users=2), 4).epoch(np.random.default_rng(0), 2))
    return batch | {"item": np.where(batch["item"] > 3, 1, batch["item"])}


def _learner(config: Hyperparameters) -> tuple[TwoTower, Learner]:
    return training.begin(toy.catalogue(), toy.sequences(), config, num_steps=50)
