import dataclasses

import numpy as np
import pytest

from homefeed.models.errors import ModelError
from homefeed.models.objectives import Objectives, outcomes
from tests.toy_data import toy_catalogue, toy_sequences

ASKED = {"declared": {"buy": "price", "like": 2.0, "dislike": -3.0}, "likes": {"like": 1.0}, "interactions": {}}
TRAIN, CATALOGUE = dataclasses.replace(toy_sequences(), objectives=ASKED), toy_catalogue()


def test_what_happened_is_worth_the_sum_of_its_outcomes() -> None:
    objectives = Objectives.of(TRAIN, CATALOGUE)
    assert (objectives.names, objectives.types) == (("declared", "likes", "interactions"), ("buy",))
    assert objectives.is_plain.tolist() == [False, False, True]
    prices = CATALOGUE.numeric["price"][:, 0].astype(np.float64)
    prices[2] = np.delete(prices, [0, 2]).mean()  # Unknown.
    positions = np.arange(len(TRAIN.timestamp))
    bought = TRAIN.event_categorical["event_type"] == 3  # "buy", behind none, unknown and "view".
    expected = np.where(TRAIN.positive, 2.0, -3.0) + np.where(bought, prices[TRAIN.item_index], 0)
    np.testing.assert_allclose(objectives.happened(0, TRAIN, positions), expected, rtol=1e-6)
    np.testing.assert_array_equal(objectives.happened(1, TRAIN, positions), TRAIN.positive)
    assert not objectives.happened(2, TRAIN, positions).any() and bought.any()
    np.testing.assert_array_equal(outcomes(TRAIN, positions, ("buy",))[:, 1], bought)


def test_an_expectation_is_linear_in_probabilities() -> None:
    objectives = Objectives.of(TRAIN, CATALOGUE)
    found = objectives.values(0, np.array([[1]]), np.array([[[0.75, 0.5]]]))
    assert found[0, 0] == pytest.approx(0.75 * 2 - 0.25 * 3 + 0.5 * CATALOGUE.numeric["price"][1, 0], rel=1e-6)


def test_novelty_is_worth_its_bits_whatever_comes_of_it() -> None:
    asked = {"declared": {"like": 1.0, "novelty": 0.5}, "rare": {"novelty": 1.0}, "interactions": {}}
    objectives = Objectives.of(dataclasses.replace(TRAIN, objectives=asked), CATALOGUE)
    assert (objectives.types, objectives.is_plain.tolist()) == ((), [False, False, True])
    counts = CATALOGUE.train_counts[1:] + 1.0
    bits = -np.log2(counts / counts.sum())
    rows = np.arange(1, CATALOGUE.num_rows)
    liked = np.full((len(rows), 1), 0.25)
    np.testing.assert_allclose(objectives.values(0, rows, liked), 0.25 + 0.5 * bits, rtol=1e-6)
    assert objectives.values(1, np.array([0]), np.array([[0.0]]))[0] == pytest.approx(bits.max(), rel=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"purchase": 1.0}, "'purchase'; there are buy, view"), ({"buy": "prize"}, "'prize'; did you mean 'price'")],
)
def test_what_the_data_lack_is_said(values: dict[str, float | str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Objectives.of(dataclasses.replace(TRAIN, objectives={"declared": values}), CATALOGUE)
