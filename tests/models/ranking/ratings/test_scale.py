import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.ranking.ratings.scale import RatingScale
from tests.toy_data import toy_sequences


def _train(values: list[float], positive: list[bool]) -> Any:
    one = toy_sequences(1)
    return dataclasses.replace(one, event_numeric={"value": np.float32(values)}, positive=np.array(positive))


def test_mean_deviation_range_and_middle() -> None:
    found = RatingScale.of(_train([1, 5, np.nan, 3, 5], [False, True, True, False, True]))
    # Mean 3.5, deviation √((6.25 + 2.25 + 0.25 + 2.25) / 4); liked 5 on average, not liked 2: the middle is 3.5.
    assert (found.mean, found.deviation) == (3.5, pytest.approx(np.sqrt(11) / 2))
    assert (found.lowest, found.highest, found.middle) == (1.0, 5.0, pytest.approx(0))
    assert found.has_ratings


def test_the_middle_is_in_deviations() -> None:
    found = RatingScale.of(_train([1, 1, 1, 1, 6], [False] * 4 + [True]))
    # Mean 2, deviation 2; halfway between 1 and 6 is 3.5.
    assert found.middle == pytest.approx((3.5 - 2) / 2)


@pytest.mark.parametrize("positive", [[True] * 3, [False] * 3])
def test_one_kind_of_answer_has_no_middle(positive: list[bool]) -> None:
    assert RatingScale.of(_train([1, 2, 3], positive)).middle == 0.0


def test_no_ratings_and_ratings_that_are_all_the_same() -> None:
    assert RatingScale.of(_train([np.nan, np.inf], [True, False])) == RatingScale()
    same = RatingScale.of(_train([4, 4], [True, False]))
    assert not same.has_ratings and not RatingScale().has_ratings and same.mean == 4.0
    assert same.standardised(tf.constant([4.0, np.nan])).numpy().tolist() == [0, 0]


def test_standardised_values() -> None:
    scale = RatingScale(mean=3.0, deviation=2.0)
    found = scale.standardised(tf.constant([[7.0, np.nan], [3.0, -np.inf]]))
    assert found.numpy().tolist() == [[2.0, 0.0], [0.0, 0.0]]
