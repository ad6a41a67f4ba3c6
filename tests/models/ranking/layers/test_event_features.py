import numpy as np
import tensorflow as tf

from homefeed.models.ranking.layers.event_features import event_features, user_statistics

DAY = 86_400
REQUEST = {
    "timestamp": tf.constant([1_000_000, 1_000_000], tf.int64),
    "recent_timestamps": tf.constant([[1_000_000 - 60, 1_000_000 - DAY, 2_000_000], [0, 0, 0]], tf.int64),
    "recent_items": tf.constant([[3, 1, 1], [0, 0, 0]]),
}


def _logs(seconds: float) -> list[float]:
    return [np.log1p(seconds / scale) / 5 for scale in (60, DAY, 30 * DAY)]


def test_events_know_how_long_ago_and_how_many_since() -> None:
    found = event_features(REQUEST, 3).numpy()
    assert found.shape == (2, 3, 6)
    # An event of the future has just happened.
    for place, seconds in enumerate((60, DAY, 0)):
        recency = [np.exp(-place / events) for events in (1, 5, 25)]
        np.testing.assert_allclose(found[0, place], [*_logs(seconds), *recency], rtol=1e-4, atol=1e-6)


def test_the_newest_events_alone() -> None:
    np.testing.assert_allclose(event_features(REQUEST, 2), event_features(REQUEST, 3)[:, :2], rtol=1e-5)


def test_a_user_is_known_by_the_number_of_events_and_the_newest() -> None:
    found = user_statistics(REQUEST).numpy()
    np.testing.assert_allclose(found[0], [np.log1p(3) / 5, *_logs(60)], rtol=1e-4)
    np.testing.assert_allclose(found[1], [0, *_logs(1_000_000)], rtol=1e-4)
