import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.ranking.layers.text_affinity import MEMORIES, TextAffinity, memories

RNG = np.random.default_rng(0)
CONTEXTS = {name: RNG.normal(size=(2, 6)).astype(np.float32) for name in ("last", "query")}
TEXTS = RNG.normal(size=(2, 3, 6)).astype(np.float32)


def _layer() -> TextAffinity:
    layer = TextAffinity(("last", "query"), 6)
    for kernel in layer.kernels:
        kernel.assign(RNG.normal(size=kernel.shape))
    return layer


def test_affinity_is_the_sum_of_inner_products_of_projections() -> None:
    layer = _layer()
    last, query, candidates = (np.array(kernel) for kernel in layer.kernels)
    wanted = CONTEXTS["last"] @ last + CONTEXTS["query"] @ query
    expected = np.einsum("bs,bcs->bc", wanted, TEXTS @ candidates)
    np.testing.assert_allclose(layer((CONTEXTS, tf.constant(TEXTS))), expected, rtol=1e-4)


def test_candidates_that_all_share_are_projected_once() -> None:
    layer = _layer()
    shared = layer((CONTEXTS, tf.constant(TEXTS[:1])))
    each = layer((CONTEXTS, tf.constant(np.repeat(TEXTS[:1], 2, axis=0))))
    np.testing.assert_allclose(shared, each, rtol=1e-4, atol=1e-5)


def test_untrained_it_says_nothing_and_others_do_not_train_it() -> None:
    layer = TextAffinity(("last", "query"), 6)
    assert not np.asarray(layer((CONTEXTS, tf.constant(TEXTS)))).any()
    assert layer.trainable_variables == [] and np.array(layer.kernels[-1]).any()


def test_dropout_acts_while_training_alone() -> None:
    layer = _layer()
    plain = layer((CONTEXTS, tf.constant(TEXTS)))
    np.testing.assert_array_equal(plain, layer((CONTEXTS, tf.constant(TEXTS))))
    assert np.abs(plain - layer((CONTEXTS, tf.constant(TEXTS)), training=True)).max() > 1e-3


def test_memories_forget_at_their_own_pace() -> None:
    readings = tf.constant([[[1.0], [10.0], [100.0], [7.0]]])
    found = memories(readings, tf.constant([[1.0, 0.0, 1.0, 1.0]]))  # The second place is a gap, and ages nobody.
    for name, length in MEMORIES.items():
        weights = np.exp(-np.arange(3) / length)
        expected = weights @ [1, 100, 7] / weights.sum()
        assert float(found[name]) == pytest.approx(expected, rel=1e-5)
    assert list(found) == ["last", "lately", "long"]
    assert float(found["last"]) < float(found["lately"]) < float(found["long"])


def test_no_events_no_memory() -> None:
    assert not any(np.asarray(m).any() for m in memories(tf.ones([2, 3, 4]), tf.zeros([2, 3])).values())
