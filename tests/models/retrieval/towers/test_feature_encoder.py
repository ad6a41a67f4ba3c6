import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.towers import feature_encoder
from homefeed.models.shared.feature_spec import FeatureSpec

SPEC = FeatureSpec({"genre": 4}, {"year": (1990.0, 2000.0)}, {"image_embedding": 3})


@pytest.fixture
def features():
    return {
        "genre": tf.constant([[2, 3], [3, 0], [0, 0]]),
        "year": tf.constant([[1990.0], [1995.0], [np.nan]]),
        "image_embedding": tf.constant([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0], [np.nan, 1.0, 1.0]]),
    }


def test_adds_up_what_is_known(features):
    encoder = feature_encoder.FeatureEncoder(SPEC, width=2)
    encoded = encoder(features).numpy()
    genre, year, image = (encoder.tables[name].numpy() for name in SPEC.names)
    expected = [
        (genre[2] + genre[3]) / 2 + year[0] + 0.6 * image[0] + 0.8 * image[2],
        genre[3] + (year[0] + year[1]) / 2,
        np.zeros(2),
    ]
    np.testing.assert_allclose(encoded, expected, atol=1e-6)


def test_dropout_leaves_out_whole_features(features):
    encoder = feature_encoder.FeatureEncoder(SPEC, width=2, dropout=1 - 1e-6)
    encoder(features)
    assert not encoder(features, training=True).numpy().any()
