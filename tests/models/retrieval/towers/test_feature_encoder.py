import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.towers import feature_encoder
from homefeed.models.shared.feature_spec import FeatureSpec

SPEC = FeatureSpec({"genre": 4}, {"year": (1990.0, 2000.0)}, {"image_embedding": 3})


@pytest.fixture
def features() -> Any:
    return {
        "genre": tf.constant([[2, 3], [3, 0], [0, 0]]),
        "year": tf.constant([[1990.0], [1995.0], [np.nan]]),
        "image_embedding": tf.constant([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0], [np.nan, 1.0, 1.0]]),
    }


def test_adds_up_what_is_known(features: Any) -> None:
    encoder = feature_encoder.FeatureEncoder(SPEC, width=2)
    encoded = encoder(features).numpy()
    genre, year, image = (encoder.tables[name].numpy() for name in SPEC.names)
    expected = [
        (genre[2] + genre[3]) / 2 + year[0] + 0.6 * image[0] + 0.8 * image[2],
        genre[3] + (year[0] + year[1]) / 2,
        np.zeros(2),
    ]
    np.testing.assert_allclose(encoded, expected, atol=1e-6)


def test_dropout_leaves_out_whole_features(features: Any) -> None:
    encoder = feature_encoder.FeatureEncoder(SPEC, width=2, dropout=1 - 1e-6)
    encoder(features)
    assert not encoder(features, training=True).numpy().any()


def test_features_that_are_kept_count_for_those_that_are_dropped(features: Any) -> None:
    encoder = feature_encoder.FeatureEncoder(SPEC, width=2, dropout=0.5)
    parts = {name: encoder(_alone(features, name)).numpy()[0] for name in SPEC.names}
    found = {tuple(np.round(encoder(features, training=True).numpy()[0], 4)) for _ in range(60)}
    # Each of three features is there twice as heavy, or not at all.
    expected = {
        tuple(np.round(sum((2 * parts[name] for name in chosen), np.zeros(2)), 4))
        for count in range(4)
        for chosen in itertools.combinations(SPEC.names, count)
    }
    np.testing.assert_allclose(sorted(found), sorted(expected), atol=2e-4)


def _alone(features: Any, name: Any) -> Any:
    unknown = {"genre": [[0]], "year": [[np.nan]], "image_embedding": [[np.nan] * 3]}
    return {key: features[key][:1] if key == name else tf.constant(unknown[key]) for key in features}


def test_a_mean_counts_what_is_there() -> None:
    table = tf.constant([[9.0], [1.0], [2.0], [5.0]])
    positions = tf.constant([[0, 0, 0], [2, 0, 0], [2, 3, 0], [1, 1, 3]])
    found = feature_encoder.mean_embedding(table, positions).numpy()[:, 0]
    np.testing.assert_allclose(found, [0, 2, 3.5, 7 / 3], rtol=1e-6)
