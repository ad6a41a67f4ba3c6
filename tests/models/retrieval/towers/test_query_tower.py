import numpy as np
import pytest
import scipy.stats
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


def test_states_in_numpy(tower):
    """One part after the other, attention as the layer has it."""
    events = _events()
    _random_weights(tower)

    def norm(layer, x):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + layer.epsilon) * layer.gamma.numpy() + layer.beta.numpy()

    def dense(layer, x):
        return x @ layer.kernel.numpy() + layer.bias.numpy()

    def gelu(x):
        return x * scipy.stats.norm.cdf(x)

    states = events["embedding"].numpy() + tower._event_type.embeddings.numpy()[events["event_type"].numpy()]
    # Knots 1 and 5: a value of 3 lies halfway.
    shares = [[[1, 0], [0, 0], [0, 1]], [[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]]]
    states = norm(tower._event_norm, states + np.array(shares) @ tower._value_kernel.kernel.numpy())
    first = tower.start.numpy() + tower._user(USER).numpy()
    # 10, 2,980 and 1 seconds pass after the first user's events, 0, 1 and 1 after the second's.
    gaps = [[0, 2, 4, 2], [0, 1, 2, 2]]
    waits = tower._wait.embeddings.numpy()[np.array(gaps)]
    states = np.concatenate([first[:, None], states], axis=1) + waits
    times = np.array([[10, 10, 20, 3000], [7, 7, 7, 8]])
    for layer in tower._layers_:
        normed = norm(layer["attention_norm"], states).astype(np.float32)
        states = states + layer["attention"](tf.constant(normed), tf.constant(times, tf.int64)).numpy()
        inner = gelu(dense(layer["expand"], norm(layer["dense_norm"], states)))
        states = states + dense(layer["contract"], inner)
    np.testing.assert_allclose(tower(events, USER), norm(tower._final_norm, states), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("timestamp", "item", "now", "expected"),
    [
        ([100, 100, 700], [1, 2, 3], 700, [0, 1, 4, 1]),  # 0 s, 600 s, 0 s.
        ([100, 100, 0], [1, 2, 0], 159, [0, 1, 2, 0]),  # The request comes after the second event.
        ([100, 100, 0], [1, 2, 0], 0, [0, 1, 0, 0]),  # Nobody knows when it is asked.
        ([0, 100, 0], [1, 2, 0], 160, [0, 0, 3, 0]),  # The first event has no time.
        ([0, 0, 0], [0, 0, 0], 500, [0, 0, 0, 0]),
        ([100, 90, 0], [1, 2, 0], 95, [0, 1, 2, 0]),  # A wrong clock: no time has passed.
    ],
)
def test_waits(tower, timestamp, item, now, expected):
    events = {name: tf.constant([value], tf.int64) for name, value in (("timestamp", timestamp), ("now", now))}
    events["item"] = tf.constant([item])
    assert tower._waits(events, training=False).numpy().tolist() == [expected]


def test_training_hides_some_waits(tower):
    events = {"timestamp": tf.tile([[10, 20]], [5000, 1]), "now": tf.fill([5000], 30), "item": tf.ones([5000, 2])}
    hidden = tower._waits({name: tf.cast(x, tf.int64) for name, x in events.items()}, training=True).numpy() == 0
    assert hidden[:, 0].all()  # Nothing was before the first.
    np.testing.assert_allclose(hidden[:, 1:].mean(axis=0), query_tower.HIDDEN_WAITS, atol=0.02)


def test_places_up_to_the_last_event():
    item = tf.constant([[3, 0, 2, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    assert query_tower.num_events(item).numpy().tolist() == [3, 0, 4]


def test_dropout_acts_while_training_alone(tower):
    events = _events()
    _random_weights(tower)
    np.testing.assert_array_equal(tower(events, USER), tower(events, USER))
    assert np.abs(tower(events, USER, training=True) - tower(events, USER)).max() > 1e-3
