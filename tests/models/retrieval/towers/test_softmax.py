from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.towers import softmax
from homefeed.models.retrieval.towers.softmax import Candidates, Targets, cross_entropy

NUM_CANDIDATES, WIDTH, LENGTH = 9, 3, 4


def _example(num_targets: int, seed: int = 0) -> tuple[Targets, Candidates]:
    rng = np.random.default_rng(seed)
    others = rng.integers(1, NUM_CANDIDATES, (num_targets, LENGTH))
    others[:, -1] = 0
    item = np.array([rng.choice(np.setdiff1d(np.arange(1, NUM_CANDIDATES), row)) for row in others], np.int32)
    first_seen = rng.integers(0, 50, NUM_CANDIDATES)
    now = np.maximum(rng.integers(0, 60, num_targets), first_seen[item])
    new_after = np.where(rng.random(num_targets) < 0.8, now - 20, tf.int32.max)
    query, known, new = (rng.normal(size=(n, WIDTH)) for n in (num_targets, NUM_CANDIDATES, NUM_CANDIDATES))
    query[:, -1] = 1.0
    numbers = [tf.constant(part, tf.int32) for part in (item, others, now, new_after)]
    targets = Targets(
        tf.constant(query, tf.float32), *numbers, tf.constant(rng.uniform(1, 3, num_targets), tf.float32)
    )
    correction = tf.constant(rng.normal(size=NUM_CANDIDATES), tf.float32)
    tables = (tf.constant(table, tf.float32) for table in (known, new))
    return targets, Candidates(*tables, tf.constant(first_seen, tf.int32), correction)


def _in_one_go(targets: Targets, candidates: Candidates, num_simulated: int) -> tf.Tensor:
    """A target at a time, by TensorFlow's own cross-entropy and gradients."""
    known, new, first_seen, correction = candidates
    losses = [tf.zeros([])]
    for row in range(len(targets.item)):
        is_new = (first_seen > targets.new_after[row]) & (row < num_simulated)
        logits = tf.linalg.matvec(tf.where(is_new[:, None], new, known), targets.query[row])
        logits += tf.where(tf.range(NUM_CANDIDATES) == targets.item[row], 0.0, correction)
        closed = (first_seen > targets.now[row]) | tf.reduce_any(
            targets.others[row][:, None] == tf.range(NUM_CANDIDATES), axis=0
        )
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=targets.item[row], logits=tf.where(closed, -1e9, logits)
        )
        losses.append(targets.weight[row] * loss)
    return tf.add_n(losses)


def _with_gradients(loss: Any, targets: Targets, candidates: Candidates, num_simulated: Any) -> list[Any]:
    """The loss, and its gradients by all that queries learn and by candidates."""
    learnt = [targets.query, candidates.known, candidates.new]
    with tf.GradientTape() as tape:
        tape.watch(learnt)
        total = 2.5 * loss(targets, candidates, num_simulated)
    zero = tf.UnconnectedGradients.ZERO
    of_query, *of_tables = (part.numpy() for part in tape.gradient(total, learnt, unconnected_gradients=zero))
    return [total.numpy(), of_query[:, :-1], *of_tables]


@pytest.mark.parametrize("num_simulated", [0, 3, 7])
@pytest.mark.parametrize("at_a_time", [1, 2, 100])
def test_loss_and_gradients_are_those_of_one_target_after_the_other(
    at_a_time: int, num_simulated: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(softmax, "LOGITS_AT_A_TIME", at_a_time * NUM_CANDIDATES)
    example = _example(num_targets=7)
    expected = _with_gradients(_in_one_go, *example, num_simulated)
    graph = tf.function(cross_entropy, autograph=False, reduce_retracing=True)
    for loss in (cross_entropy, graph):
        found = _with_gradients(loss, *example, tf.constant(num_simulated))
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    assert np.abs(expected[3]).any() == bool(num_simulated)


def test_no_target_is_no_loss() -> None:
    found = _with_gradients(cross_entropy, *_example(num_targets=0), tf.constant(0))
    assert [part.shape for part in found] == [(), (0, WIDTH - 1), (NUM_CANDIDATES, WIDTH), (NUM_CANDIDATES, WIDTH)]
    assert not any(part.any() for part in found)


@pytest.mark.parametrize("closed", [[], [2, 5]], ids=["all drawn", "two not drawn"])
def test_large_logits_overflow_nothing(closed: list[int]) -> None:
    targets, candidates = _example(num_targets=3)
    correction = candidates.correction.numpy()
    correction[closed] = softmax.CLOSED
    candidates = candidates._replace(known=1e3 * candidates.known, correction=tf.constant(correction))
    found = _with_gradients(cross_entropy, targets, candidates, tf.constant(0))
    expected = _with_gradients(_in_one_go, targets, candidates, 0)
    for ours, theirs in zip(found, expected, strict=True):
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)
