import numpy as np
import tensorflow as tf

from homefeed.models.retrieval.towers import number_encoding


def test_a_number_is_shared_between_its_neighbours() -> None:
    layer = number_encoding.NumberEncoding((0.0, 1.0, 5.0))
    encoded = layer(tf.constant([[0.25, 2.0, 5.0], [-9.0, 99.0, np.nan]])).numpy()
    # 2 lies a quarter of the way from 1 to 5; beyond the ends the ends count; unknown is nothing.
    expected = [[[0.75, 0.25, 0], [0, 0.75, 0.25], [0, 0, 1]], [[1, 0, 0], [0, 0, 1], [0, 0, 0]]]
    np.testing.assert_allclose(encoded, expected, atol=1e-6)


def test_one_knot_says_known_or_unknown() -> None:
    layer = number_encoding.NumberEncoding((3.0,))
    assert layer(tf.constant([7.0, np.nan])).numpy().tolist() == [[1.0], [0.0]]


def test_config_round_trip() -> None:
    layer = number_encoding.NumberEncoding((1.0, 2.0))
    assert number_encoding.NumberEncoding.from_config(layer.get_config()).knots == (1.0, 2.0)
