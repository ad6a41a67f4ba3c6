from typing import Any

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from homefeed.models.retrieval.towers import query_tower
from homefeed.models.shared.feature_spec import FeatureSpec
from homefeed.models.shared.local_time import POSITIONS


@pytest.fixture
def tower() -> Any:
    tf.keras.utils.set_random_seed(3)
    user = FeatureSpec({"gender": 4}, {}, {})
    event = FeatureSpec({"event_type": 4, "device": 4}, {"value": (1.0, 5.0)}, {})
    context = FeatureSpec({"device": 4, **POSITIONS}, {}, {})
    return query_tower.QueryTower(4, 2, 2, 5, 0.1, user, event, context, "Asia/Shanghai")


def _events(seed: int = 0) -> Any:
    generator = np.random.default_rng(seed)
    return {
        "embedding": tf.constant(generator.normal(size=(2, 3, 4)), tf.float32),
        "history_value": tf.constant([[1, np.nan, 5], [2, 3, 4]], tf.float32),
        "history_event_type": tf.constant([[2, 3, 0], [1, 2, 2]]),
        "history_device": tf.constant([[2, 2, 2], [3, 3, 3]]),
        "timestamp": tf.constant([[10, 20, 3000], [7, 7, 8]], tf.int64),
        "item": tf.constant([[3, 1, 2], [2, 3, 1]]),
        "now": tf.constant([3001, 9], tf.int64),
        "context_device": tf.constant([2, 3]),
    }


def _random_weights(tower: Any) -> None:
    """Biases, gains and waits start at values that say nothing."""
    tower(_events(), USER)
    for weight in tower.trainable_variables:
        weight.assign_add(tf.random.normal(weight.shape, stddev=0.3))


OF_REQUEST = ("now", "context_device")
USER = {"gender": tf.constant([[2], [3]])}


def test_a_place_knows_only_what_was_before(tower: Any) -> None:
    events = _events()
    _random_weights(tower)
    reference = tower(events, USER).numpy()
    assert reference.shape == (2, 4, 4)
    # When an event happened is when the query before it was asked.
    later_events = {
        "embedding": (9.0, 3),
        "history_value": (1.5, 3),
        "history_event_type": (1, 3),
        "timestamp": (99_999, 2),
    }
    for name, (later, first) in later_events.items():
        changed = {**events, name: tf.concat([events[name][:, :2], events[name][:, 2:] * 0 + later], axis=1)}
        states = tower(changed, USER).numpy()
        np.testing.assert_allclose(states[:, :first], reference[:, :first], atol=1e-6)
        assert np.abs(states[:, 3] - reference[:, 3]).max() > 1e-4, name


def test_the_user_in_front_is_seen_by_all(tower: Any) -> None:
    states = tower(_events(), USER).numpy()
    others = tower(_events(), {"gender": tf.constant([[3], [2]])}).numpy()
    assert (np.abs(states - others).max(axis=2) > 1e-5).all()


def test_no_history_is_an_answer(tower: Any) -> None:
    events = _events()
    padding = {
        name: tf.zeros_like(column if name in OF_REQUEST else column[:, :1]) for name, column in events.items()
    }
    # It is asked when and as the first event was.
    padding |= {"now": events["timestamp"][:, 0], "context_device": events["history_device"][:, 0]}
    first = tower(padding, USER).numpy()[:, 0]
    np.testing.assert_allclose(first, tower(_events(), USER).numpy()[:, 0], atol=1e-6)


def test_the_time_of_the_request_is_known_to_the_last_place_alone(tower: Any) -> None:
    events = _events()
    _random_weights(tower)
    reference = tower(events, USER).numpy()
    later = tower({**events, "now": events["now"] + 86_400}, USER).numpy()
    np.testing.assert_allclose(later[:, :3], reference[:, :3], atol=1e-6)
    assert (np.abs(later[:, 3] - reference[:, 3]).max(axis=1) > 1e-4).all()
    unknown = tower({**events, "now": tf.zeros_like(events["now"])}, USER).numpy()
    assert (np.abs(unknown[:, 3] - reference[:, 3]).max(axis=1) > 1e-4).all()


def test_a_padded_history_is_asked_at_its_last_event(tower: Any) -> None:
    events = _events()
    _random_weights(tower)
    short = {name: column if name in OF_REQUEST else column[:, :2] for name, column in events.items()}
    padded = {
        name: column if name in OF_REQUEST else tf.pad(column[:, :2], ((0, 0), (0, 1), *[(0, 0)] * (column.ndim - 2)))
        for name, column in events.items()
    }
    np.testing.assert_allclose(tower(padded, USER)[:, 2], tower(short, USER)[:, 2], atol=1e-5)


def test_states_in_numpy(tower: Any) -> None:
    """One part after the other, attention as the layer has it."""
    events = _events()
    _random_weights(tower)

    def norm(layer: Any, x: Any) -> Any:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + layer.epsilon) * layer.gamma.numpy() + layer.beta.numpy()

    def dense(layer: Any, x: Any) -> Any:
        return x @ layer.kernel.numpy() + layer.bias.numpy()

    def gelu(x: Any) -> Any:
        return x * scipy.stats.norm.cdf(x)

    states = events["embedding"].numpy().copy()
    for name in ("event_type", "device"):
        positions = events[f"history_{name}"].numpy()
        states += tower._event.tables[name].numpy()[positions] * (positions > 0)[..., None]
    # Knots 1 and 5: a value of 3 lies halfway.
    shares = [[[1, 0], [0, 0], [0, 1]], [[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]]]
    states = norm(tower._event_norm, states + np.array(shares) @ tower._event.tables["value"].numpy())
    first = tower.start.numpy() + tower._user(USER).numpy()
    # 10, 2,980 and 1 seconds pass after the first user's events, 0, 1 and 1 after the second's.
    gaps = [[0, 2, 4, 2], [0, 1, 2, 2]]
    waits = tower._wait.embeddings.numpy()[np.array(gaps)]
    states = np.concatenate([first[:, None], states], axis=1) + waits
    # In Shanghai it is 8 o'clock on a Thursday; the request and each event come from the device that they name.
    tables = {name: table.numpy() for name, table in tower._context.tables.items()}
    devices = np.array([[2, 2, 2, 2], [3, 3, 3, 3]])
    states += tables["device"][devices] + tables["hour"][8 + 2] + tables["weekday"][3 + 2]
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
def test_waits(tower: Any, timestamp: Any, item: Any, now: Any, expected: Any) -> None:
    events = {name: tf.constant([value], tf.int64) for name, value in (("timestamp", timestamp), ("now", now))}
    events["item"] = tf.constant([item])
    assert tower._waits(events, training=False).numpy().tolist() == [expected]


def test_training_hides_some_waits(tower: Any) -> None:
    events = {"timestamp": tf.tile([[10, 20]], [5000, 1]), "now": tf.fill([5000], 30), "item": tf.ones([5000, 2])}
    hidden = tower._waits({name: tf.cast(x, tf.int64) for name, x in events.items()}, training=True).numpy() == 0
    assert hidden[:, 0].all()  # Nothing was before the first.
    np.testing.assert_allclose(hidden[:, 1:].mean(axis=0), query_tower.HIDDEN, atol=0.02)


def test_places_up_to_the_last_event() -> None:
    item = tf.constant([[3, 0, 2, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    assert query_tower.num_events(item).numpy().tolist() == [3, 0, 4]


def test_dropout_acts_while_training_alone(tower: Any) -> None:
    events = _events()
    _random_weights(tower)
    np.testing.assert_array_equal(tower(events, USER), tower(events, USER))
    assert np.abs(tower(events, USER, training=True) - tower(events, USER)).max() > 1e-3


def test_the_context_of_the_request_is_known_to_the_last_place_alone(tower: Any) -> None:
    events = _events()
    _random_weights(tower)
    reference = tower(events, USER).numpy()
    other = tower({**events, "context_device": tf.constant([3, 2])}, USER).numpy()
    np.testing.assert_allclose(other[:, :3], reference[:, :3], atol=1e-6)
    assert (np.abs(other[:, 3] - reference[:, 3]).max(axis=1) > 1e-4).all()


def test_the_context_of_an_event_is_known_when_it_is_asked_for(tower: Any) -> None:
    events = _events()
    _random_weights(tower)
    reference = tower(events, USER).numpy()
    changed = {**events, "history_device": tf.constant([[2, 3, 2], [3, 2, 3]])}  # Of the second event.
    states = tower(changed, USER).numpy()
    np.testing.assert_allclose(states[:, :1], reference[:, :1], atol=1e-6)
    assert (np.abs(states[:, 1] - reference[:, 1]).max(axis=1) > 1e-4).all()  # It is what place 1 is asked for.


def test_the_hour_of_the_request_counts_where_the_wait_does_not(tower: Any) -> None:
    events = _events()
    _random_weights(tower)
    tower._wait.embeddings.assign(tf.zeros_like(tower._wait.embeddings))
    day = {**events, "now": tf.constant([86_400 * 9, 86_400 * 9], tf.int64)}
    reference = tower(day, USER).numpy()
    for later, differs in (
        (3600, True),
        (7 * 86_400, False),
        (86_400, True),
    ):  # Next hour, same time next week, weekday.
        states = tower({**day, "now": day["now"] + later}, USER).numpy()
        assert (np.abs(states[:, 3] - reference[:, 3]).max() > 1e-4) == differs
