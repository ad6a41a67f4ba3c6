import dataclasses

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from homefeed.models.ranking.layers.item_encoder import ItemEncoder
from tests.toy_data import toy_catalogue

CATALOGUE = toy_catalogue()  # Item 7 was never seen in training.
VECTORS = np.random.default_rng(0).normal(2, 3, (8, 3)).astype(np.float32)


def _encoder(id_dropout: float = 0.0, **changes: object) -> ItemEncoder:
    made = ItemEncoder(dataclasses.replace(CATALOGUE, **changes), text_width=3, width=4, id_dropout=id_dropout)
    made.build()
    for variable in made.trainable_variables:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    made.set_texts(_readings())
    return made


def _readings() -> np.ndarray:
    """Row 0 has no text."""
    return np.concatenate([np.zeros_like(VECTORS[:1]), VECTORS[1:]])


def test_vectors_in_numpy() -> None:
    encoder = _encoder()
    hidden = _readings() @ np.array(encoder._text.kernel)
    columns = {**CATALOGUE.categorical, **CATALOGUE.numeric}
    hidden = hidden + np.array(encoder._features({name: tf.constant(column) for name, column in columns.items()}))
    gelu = hidden * scipy.stats.norm.cdf(hidden)
    content = gelu @ np.array(encoder._vector.kernel) + np.array(encoder._vector.bias)
    expected = content + np.array(encoder.ids) * (CATALOGUE.train_counts > 0)[:, None]
    np.testing.assert_allclose(encoder(tf.range(8)), expected, rtol=1e-4, atol=1e-4)
    assert encoder.are_known(tf.range(8)).numpy().tolist() == [0, 1, 1, 1, 1, 1, 1, 0]


def test_rows_may_have_any_shape() -> None:
    encoder = _encoder()
    rows = tf.constant([[1, 7, 0], [3, 3, 2]])
    np.testing.assert_allclose(encoder(rows), tf.gather(encoder(tf.range(8)), rows), rtol=1e-5, atol=1e-6)


def test_an_identity_that_is_dropped_is_dropped_wherever_the_item_stands() -> None:
    keras.utils.set_random_seed(0)
    encoder = _encoder(id_dropout=0.5)
    plain = encoder(tf.range(8)).numpy()
    without = plain - np.array(encoder.ids) * (CATALOGUE.train_counts > 0)[:, None]
    share = []
    for _ in range(200):
        twice = encoder(tf.constant([[1, 2, 3, 4, 5, 6]] * 2), training=True).numpy()
        np.testing.assert_array_equal(twice[0], twice[1])
        dropped = np.abs(twice[0] - without[1:7]).max(axis=1) < 1e-5
        kept = np.abs(twice[0] - plain[1:7]).max(axis=1) < 1e-5
        assert (dropped ^ kept).all()
        share.append(dropped.mean())
    assert np.mean(share) == pytest.approx(0.5, abs=0.05)


def test_an_item_known_by_its_text_alone_has_no_features() -> None:
    encoder = _encoder()
    text = encoder.texts(tf.constant([2]))
    nothing = encoder._content(text, tf.constant([0]))
    np.testing.assert_array_equal(encoder.of_text(text), nothing)
    assert np.abs(encoder.of_text(text) - encoder(tf.constant([2]))).max() > 1e-3


def test_a_catalogue_without_features() -> None:
    encoder = _encoder(categorical={}, numeric={})
    assert np.isfinite(encoder(tf.range(8))).all() and encoder.num_rows == 8
