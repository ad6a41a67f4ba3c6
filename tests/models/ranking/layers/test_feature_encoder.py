import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.ranking.layers.feature_encoder import FeatureEncoder, bucket
from homefeed.models.shared.feature_spec import FeatureSpec

SPEC = FeatureSpec({"genre": 4}, {"year": (1990.0, 2000.0)}, {"face": 2})


@pytest.fixture(scope="module")
def encoder() -> FeatureEncoder:
    made = FeatureEncoder(SPEC, width=3)
    made.build()
    return made


def test_adds_up_what_is_known(encoder: FeatureEncoder) -> None:
    genre, year, face = (np.array(encoder.tables[name]) for name in SPEC.names)
    found = encoder(
        {
            "genre": tf.constant([[2, 3], [3, 0], [0, 0]]),
            "year": tf.constant([[1990.0], [1989.0], [np.nan]]),
            "face": tf.constant([[2.0, -1.0], [0.0, np.nan], [np.nan, np.nan]]),
        }
    )
    expected = [(genre[2] + genre[3]) / 2 + year[2] + 2 * face[0] - face[1], genre[3] + year[1], year[0]]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_any_leading_axes(encoder: FeatureEncoder) -> None:
    flat = {
        "genre": tf.constant([[2, 3], [3, 0], [0, 0], [1, 1]]),
        "year": tf.constant([[1990.0], [2020.0], [np.nan], [0.0]]),
        "face": tf.zeros([4, 2]),
    }
    nested = {name: tf.reshape(column, [2, 2, -1]) for name, column in flat.items()}
    np.testing.assert_allclose(tf.reshape(encoder(nested), [4, 3]), encoder(flat), rtol=1e-6)


def test_a_number_falls_into_the_bucket_from_its_edge_on() -> None:
    numbers = tf.constant([[-5.0, 0.0], [0.5, 1.0], [9.0, np.nan], [np.inf, -np.inf]])
    assert bucket(numbers, (0.0, 1.0)).numpy().tolist() == [[1, 2], [2, 3], [3, 0], [0, 0]]
    assert bucket(numbers, ()).numpy().tolist() == [[1, 1], [1, 1], [1, 0], [0, 0]]


def test_tables_begin_alike_wherever_they_are_made_and_unlike_each_other(encoder: FeatureEncoder) -> None:
    other = FeatureEncoder(FeatureSpec({"genre": 4, "kind": 4}, {}, {}), width=3)
    other.build()
    np.testing.assert_array_equal(np.array(other.tables["genre"]), np.array(encoder.tables["genre"]))
    assert np.abs(np.array(other.tables["kind"]) - np.array(other.tables["genre"])).max() > 0.01
