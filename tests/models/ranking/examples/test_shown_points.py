import dataclasses

import numpy as np
import pytest

from homefeed.models.exposures import Exposures
from homefeed.models.ranking.examples.shown_points import ShownPoints, make_shown_batch
from tests.models.ranking.toy import CONFIG
from tests.toy_data import toy_sequences

TRAIN = toy_sequences()
CONTEXT = dataclasses.replace(TRAIN, inputs=TRAIN.inputs | {"context_value": TRAIN.inputs["history_value"]})
TWO = dataclasses.replace(CONFIG, num_targets=2, num_negatives=2)


def exposures(**changes: object) -> Exposures:
    """u1's second event is at 1,000,240; behind its last one, at 1,000,360, another user's follow."""
    return dataclasses.replace(
        Exposures(
            user_ids=np.array([b"u1", b"u1"], object),
            timestamp=np.array([1_000_230, 9_000_000]),
            row_splits=np.array([0, 6, 8]),
            item_index=np.array([1, 2, 3, 4, 5, 0, 6, 7], np.int32),
            position=np.array([1, 2, 3, 4, 5, 6, 2, 1], np.int32),
            propensity=np.full(8, np.nan, np.float32),
            clicked=np.array([0, 1, 1, 1, 0, 0, 0, 1], bool),
        ),
        **changes,
    )


def test_a_batch_holds_what_was_taken_and_left_as_it_was_then() -> None:
    shown = ShownPoints.of(exposures(), CONTEXT, True)
    assert shown is not None
    batch = make_shown_batch(shown, np.arange(2), TWO, np.random.default_rng(0))
    assert batch["timestamp"].tolist() == [1_000_230, 9_000_000]
    # The history: one event before the first impression, all four before the second, newest first.
    assert batch["recent_items"][:, :4].tolist() == [[2, 0, 0, 0], [5, 4, 3, 2]][:2]
    # At most two of the three that were taken, both of what was left, and nothing of what is unknown.
    first = set(batch["candidates"][0].tolist())
    assert {1, 5} < first <= {1, 2, 3, 4, 5} and len(first) == 4
    assert batch["relevance"].sum(axis=1).tolist() == [2, 1]
    assert batch["irrelevant"].sum(axis=1).tolist() == [2, 1]
    columns = (batch[name][1].tolist() for name in ("candidates", "position", "relevance"))
    second = {item: (place, taken) for item, place, taken in zip(*columns, strict=True)}
    assert second == {7: (1, 1.0), 6: (2, 0.0), 0: (0, 0.0)}
    # The context is that of the event which came; behind the last one it is not known.
    assert np.isnan(batch["context_value"]).tolist() == [bool(np.isnan(TRAIN.value[4])), True]


def test_impressions_that_say_nothing_are_none() -> None:
    assert ShownPoints.of(None, TRAIN, True) is None
    assert ShownPoints.of(exposures(clicked=np.zeros(8, bool)), TRAIN, True) is None
    assert ShownPoints.of(exposures(user_ids=np.array([b"?", b"?"], object)), TRAIN, True) is None


def test_what_was_left_counts_by_inverse_propensity_cut_and_over_its_mean() -> None:
    propensity = np.array([0.5, 0.1, 0.1, 0.1, 0.02, 0.1, 0.25, 0.5], np.float32)
    shown = ShownPoints.of(exposures(propensity=propensity), CONTEXT, True)
    assert shown is not None

    def weights(most: float, which: list[int]) -> dict[int, float]:
        config = dataclasses.replace(TWO, max_inverse_propensity=most)
        batch = make_shown_batch(shown, np.array(which), config, np.random.default_rng(0))
        found = zip(batch["candidates"][0], np.exp(batch["log_weight"][0]), batch["irrelevant"][0], strict=True)
        assert (batch["log_weight"][~batch["irrelevant"]] == 0).all()
        return {int(item): float(weight) for item, weight, is_left in found if is_left}

    # Of items 1 and 5 the inverses are 2 and 50, cut to 10: 2 and 10 over 6.
    assert weights(10.0, [0, 1]) == pytest.approx({1: 2 / 6, 5: 10 / 6})
    assert weights(1000.0, [0]) == pytest.approx({1: 2 / 26, 5: 50 / 26})
    assert weights(1.0, [0]) == pytest.approx({1: 1.0, 5: 1.0})
    assert weights(10.0, [1]) == pytest.approx({6: 1.0})  # One alone is its own mean.
    unknown = ShownPoints.of(exposures(propensity=np.where(propensity < 0.05, np.nan, propensity)), CONTEXT, True)
    assert unknown is not None
    shown = unknown
    assert weights(10.0, [0]) == pytest.approx({1: 2 / 1.5, 5: 1 / 1.5})
