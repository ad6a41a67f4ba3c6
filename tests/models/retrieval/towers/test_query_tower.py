import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.towers import query_tower
from homefeed.models.shared.feature_spec import FeatureSpec


@pytest.fixture
def tower():
    tf.keras.utils.set_random_seed(3)
    spec = FeatureSpec({"gender": 4}, {}, {})
    return query_tower.QueryTower(4, 2, 2, 5, 0.1, spec, num_event_types=4, value_knots=(1.0, 5.0))


def _events(seed: int = 0):
    generator = np.random.default_rng(seed)
    return {
        "embedding": tf.constant(generator.normal(size=(2, 3, 4)), tf.float32),
        "value": tf.constant([[1, np.nan, 5], [2, 3, 4]], tf.float32),
        "event_type": tf.constant([[2, 3, 0], [1, 2, 2]]),
        "timestamp": tf.constant([[10, 20, 3000], [7, 7, 8]], tf.int64),
        "item": tf.constant([[3, 1, 2], [2, 3, 1]]),
        "now": tf.constant([3001, 9], tf.int64),
    }


def _random_weights(tower):
    """Biases, gains and waits start at values that say nothing."""
    tower(_events(), USER)
    for weight in tower.trainable_variables:
        weight.assign_add(tf.random.normal(weight.shape, stddev=0.3))


USER = {"gender": tf.constant([[2], [3]])}


def test_a_place_knows_only_what_was_before(tower):
    events = _events()
    _random_weights(tower)
    reference = tower(events, USER).numpy()
    assert reference.shape == (2, 4, 4)
    # When an event happened is when the query before it was asked.
    later_events = {"embedding": (9.0, 3), "value": (1.5, 3), "event_type": (1, 3), "timestamp": (99_999, 2)}
    for name, (later, first) in later_events.items():
        changed = {**events, name: tf.concat([events[name][:, :2], events[name][:, 2:] * 0 + later], axis=1)}
        states = tower(changed, USER).numpy()
        np.testing.assert_allclose(states[:, :first], reference[:, :first], atol=1e-6)
        assert np.abs(states[:, 3] - reference[:, 3]).max() > 1e-4, name


def test_the_user_in_front_is_seen_by_all(tower):
    states = tower(_events(), USER).numpy()
    others = tower(_events(), {"gender": tf.constant([[3], [2]])}).numpy()
    assert (np.abs(states - others).max(axis=2) > 1e-5).all()


def test_no_history_is_an_answer(tower):
    padding = {name: tf.zeros_like(column if name == "now" else column[:, :1]) for name, column in _events().items()}
    first = tower(padding, USER).numpy()[:, 0]
    np.testing.assert_allclose(first, tower(_events(), USER).numpy()[:, 0], atol=1e-6)


def test_the_time_of_the_request_is_known_to_the_last_place_alone(tower):
    events = _events()
    _random_weights(tower)
    reference = tower(events, USER).numpy()
    later = tower({**events, "now": events["now"] + 86_400}, USER).numpy()
    np.testing.assert_allclose(later[:, :3], reference[:, :3], atol=1e-6)
    assert (np.abs(later[:, 3] - reference[:, 3]).max(axis=1) > 1e-4).all()
    unknown = tower({**events, "now": tf.zeros_like(events["now"])}, USER).numpy()
    assert (np.abs(unknown[:, 3] - reference[:, 3]).max(axis=1) > 1e-4).all()


def test_a_padded_history_is_asked_at_its_last_event(tower):
    events = _events()
    _random_weights(tower)
    short = {name: column if name == "now" else column[:, :2] for name, column in events.items()}
    padded = {
        name: column if name == "now" else tf.pad(column[:, :2], ((0, 0), (0, 1), *[(0, 0)] * (column.ndim - 2)))
        for name, column in events.items()
    }
    np.testing.assert_allclose(tower(padded, USER)[:, 2], tower(short, USER)[:, 2], atol=1e-5)
