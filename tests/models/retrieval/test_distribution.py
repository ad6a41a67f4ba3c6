import os
import subprocess
import sys

import numpy as np

PROGRAM = """
import homefeed.models
import tensorflow as tf
cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import dataclasses
import itertools
import numpy as np
from homefeed.models.retrieval.training import fit as training
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.towers.two_tower import TwoTower
from tests.models.retrieval import toy

config = Hyperparameters(
    width=8, num_layers=1, max_events=4, batch_size=4, epochs=3, learning_rate=0.02, dropout=0.0,
    cold_start_share=0.25, ema_momentum=0.5,
)
# What is drawn differs from replica to replica: the same negatives for all.
fixed = np.arange(64) % 6 + 1
TwoTower.compute_loss = lambda self, batch, training=False: (
    self.sampled_loss(batch, tf.constant(fixed, tf.int32), training)
    if self._is_sampled else self._full_loss(batch, training)
)
data = toy.catalogue(), toy.sequences(num_users=40), toy.sequences(num_users=10, num_targets=1, num_history=2, seed=1)
for strategy, limit in itertools.product(("none", "mirrored"), (20_000, 1)):
    epochs = []
    chosen = dataclasses.replace(config, strategy=strategy, max_softmax_items=limit)
    trained = training.train(*data, chosen, epochs.append)
    ids = trained.towers.candidate_tower.ids
    replicas = len(ids.values) if strategy == "mirrored" else 1
    if replicas > 1:
        np.testing.assert_array_equal(ids.values[0].numpy(), ids.values[1].numpy())
    print(replicas, *(round(epoch.loss, 4) for epoch in epochs))
"""


def test_two_devices_learn_what_one_does() -> None:
    """Two virtual CPUs, which must be set up before TensorFlow starts: in a process of their own."""
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True, env=os.environ
    )
    assert found.returncode == 0, found.stderr[-2000:]
    rows = [line.split() for line in found.stdout.splitlines() if line[:2] in ("1 ", "2 ")]
    assert [row[0] for row in rows] == ["1", "1", "2", "2"]
    losses = np.array([row[1:] for row in rows], float)
    assert (losses[:, -1] < losses[:, 0]).all()
    np.testing.assert_allclose(losses[2:], losses[:2], rtol=0.01)  # Of the whole softmax and the sampled one.
