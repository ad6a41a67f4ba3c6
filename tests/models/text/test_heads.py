import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.text.heads import MEMORIES, TextHeads, memory


def _filled(width: int, size: int) -> TextHeads:
    heads = TextHeads(width, size)
    rng = np.random.default_rng(0)
    heads.set_weights([rng.normal(size=weight.shape) for weight in heads.get_weights()])
    return heads


def test_every_context_counts_by_its_own_memory_and_projection() -> None:
    heads = _filled(width=5, size=2)
    readings = np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32)
    history = np.array([[3, 0, 1, 2], [0, 0, 0, 0]], np.int32)  # The rows are places of `readings`.
    attention = {}
    for name, length in MEMORIES.items():
        attention[name] = np.zeros((2, 4), np.float32)
        attention[name][0, [3, 1, 2]] = memory(history, length)[0, [0, 2, 3]]
    wanted = heads.wanted(heads.events(tf.constant(readings)), attention).numpy()
    expected = np.zeros(2)
    for length, kernel in zip(MEMORIES.values(), heads.get_weights()[:3], strict=True):
        weights = np.exp(-np.arange(3) / length)
        expected += (weights / weights.sum()) @ readings[[3, 1, 2]] @ kernel
    assert heads.get_weights()[0].shape == (5, 2)
    np.testing.assert_allclose(wanted, [expected, [0, 0]], rtol=1e-4)


def test_untrained_heads_want_nothing_and_say_nothing_of_popularity() -> None:
    heads = TextHeads(5, 2)
    readings = tf.ones([3, 5])
    assert not heads.query(readings).numpy().any()
    assert not heads.popularity(readings).numpy().any()
    assert heads.offered(readings).numpy().any(), "or no gradient would ever flow"


def test_popularity_is_what_it_is_told() -> None:
    heads = TextHeads(3, 2)
    heads.set_popularity(np.array([[1.0], [10.0], [100.0]], np.float32))
    assert heads.popularity(tf.constant([[1.0, 2.0, 3.0]])).numpy().tolist() == [321.0]


def test_a_memory_counts_events_and_not_places() -> None:
    counted = memory(np.array([[5, 0, 6, 7], [0, 0, 0, 0]], np.int32), 2.0)
    weights = np.exp(-np.array([0.0, 1.0, 2.0]) / 2)
    assert counted[0, [0, 2, 3]] == pytest.approx(weights / weights.sum())
    assert not counted[1].any() and counted[0, 1] == 0


def test_the_configuration_makes_the_same_layer() -> None:
    heads = TextHeads(5, 2)
    assert TextHeads.from_config(heads.get_config()).get_config() == heads.get_config()
