import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.towers import biased_attention


def test_width_must_be_a_multiple_of_the_heads() -> None:
    with pytest.raises(ValueError, match="got 5 and 2"):
        biased_attention.BiasedAttention(5, 2, 3, 0.0)


def test_agrees_with_plain_attention_in_numpy() -> None:
    tf.keras.utils.set_random_seed(1)
    layer = biased_attention.BiasedAttention(width=4, num_heads=2, max_distance=2, dropout=0.0)
    states = tf.random.normal((1, 5, 4))
    seconds = [0, 5, 70, 70, 100_000]
    timestamp = tf.constant([seconds], tf.int64)
    layer(states, timestamp)
    layer.distance_bias.assign(tf.random.normal(layer.distance_bias.shape))
    layer.time_bias.assign(tf.random.normal(layer.time_bias.shape))
    projected = layer._project(states).numpy()[0].reshape(5, 3, 2, 2)
    edges = np.array(biased_attention.GAP_SECONDS)
    mixed = np.zeros((5, 4))
    for head in range(2):
        query, key, value = projected[:, 0, head], projected[:, 1, head], projected[:, 2, head]
        for i in range(5):
            logits = []
            for j in range(i + 1):
                bucket = int((seconds[i] - seconds[j] >= edges).sum())
                bias = layer.distance_bias[min(i - j, 2), head] + layer.time_bias[bucket, head]
                logits.append(query[i] @ key[j] / np.sqrt(2) + bias)
            weights = np.exp(logits) / np.exp(logits).sum()
            mixed[i, 2 * head : 2 * head + 2] = weights @ value[: i + 1]
    np.testing.assert_allclose(layer(states, timestamp)[0], layer._output(mixed.astype(np.float32)), atol=1e-5)


def test_elapsed_times_fall_between_the_gaps() -> None:
    edges = biased_attention.GAP_SECONDS
    seconds = [-5, 0, edges[0] - 1, edges[0], edges[1] - 1, edges[1], edges[-1] - 1, edges[-1], 10 * edges[-1]]
    last = len(edges)
    assert biased_attention.gap_of(tf.constant(seconds, tf.int64)).numpy().tolist() == [
        *[0, 0, 0, 1, 1, 2],
        *[last - 1, last, last],
    ]
    assert last + 1 == biased_attention.NUM_GAPS


def test_attention_is_dropped_out_while_training_alone() -> None:
    tf.keras.utils.set_random_seed(1)
    layer = biased_attention.BiasedAttention(width=4, num_heads=2, max_distance=2, dropout=0.9)
    states, timestamp = tf.random.normal((1, 6, 4)), tf.zeros((1, 6), tf.int64)
    np.testing.assert_array_equal(layer(states, timestamp), layer(states, timestamp))
    assert np.abs(layer(states, timestamp, training=True) - layer(states, timestamp)).max() > 1e-3
