import dataclasses

import numpy as np
import pytest

from homefeed.components.evaluator import policy_value
from homefeed.components.evaluator.policy_value import (
    NUM_PARTS,
    Slots,
    describe_value,
    slots_by_chance,
    to_html,
    to_markdown,
)
from homefeed.models.exposures import Exposures
from homefeed.models.requests import requests_from_sequences
from homefeed.serving.predictors import LocalPredictor
from homefeed.serving.recommender import Recommender
from tests.toy_data import toy_catalogue, toy_sequences

TEST = toy_sequences(4, num_history=1)
# Two pages after the last events of users, who had items 1 to 3 and 2 to 5; on the second only one slot was drawn.
SHOWN = Exposures(
    user_ids=np.array([b"u0", b"u1"], object),
    timestamp=TEST.timestamp[[2, 6]] + 100,
    row_splits=np.array([0, 3, 5]),
    item_index=np.array([7, 4, 6, 7, 1], np.int32),
    position=np.array([1, 2, 3, 1, 2], np.int32),
    propensity=np.array([0.5, 0.25, 0.4, 1.0, 0.8], np.float32),
    clicked=np.array([0, 1, 0, 1, 1], bool),
)


@pytest.fixture(scope="module")
def fused(toy_models: dict[str, object]) -> Recommender:
    return Recommender(LocalPredictor({"fused": toy_models["fused"] / "Format-Serving"}), 100)


def by_chance(fused: Recommender, shown: Exposures | None, batch_size: int = 1) -> Slots | None:
    return slots_by_chance(fused, shown, TEST, toy_catalogue(), 100, batch_size)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_slots_are_filled_as_the_models_would_below_what_was_served(fused: Recommender, batch_size: int) -> None:
    found = by_chance(fused, SHOWN, batch_size)
    assert found is not None
    assert found.users.tolist() == [b"u0"] * 3 + [b"u1"] and found.page.tolist() == [0, 0, 0, 1]
    assert found.taken.tolist() == [0, 1, 0, 1] and found.propensity == pytest.approx([0.5, 0.25, 0.4, 0.8])
    asked = [
        dataclasses.replace(request, timestamp=int(at))
        for request, at in zip(
            requests_from_sequences(TEST, toy_catalogue(), np.array([0, 1]), np.array([3, 7])),
            SHOWN.timestamp,
            strict=True,
        )
    ]
    own = fused.candidates(asked)
    scores = [
        {int(item[1:]): score for item, score in zip(ids, row, strict=True) if item}
        for ids, row in zip(own.item_ids, own.scores, strict=True)
    ]
    greedy, soft = [], []
    for page, above, card in ((0, [], 7), (0, [7], 4), (0, [7, 4], 6), (1, [7], 1)):
        left = {item: score for item, score in scores[page].items() if item not in above}
        assert card in left
        greedy.append(float(card == max(left, key=left.__getitem__)))
        soft.append(np.exp(left[card]) / sum(np.exp(score) for score in left.values()))
    assert found.policies["the best first"][0].tolist() == greedy == [1, 0, 1, 0]
    assert found.policies["drawn by scores"][0] == pytest.approx(soft, rel=1e-5)
    for of_shown, mass in found.policies.values():
        assert mass.sum(axis=1) == pytest.approx(1) and (of_shown <= 1).all()
    # Places 1 to 3 and 2; of all four candidates, ranks 1, 4 and 2, and rank 3 of three.
    assert (found.group // NUM_PARTS).tolist() == [0, 1, 2, 1]
    assert (found.group % NUM_PARTS).tolist() == [0, 2, 1, 1]


def test_where_nothing_was_left_to_chance_nothing_is_said(fused: Recommender) -> None:
    fixed = dataclasses.replace(SHOWN, propensity=np.ones(5, np.float32))
    unknown = dataclasses.replace(SHOWN, propensity=np.full(5, np.nan, np.float32))
    nowhere = dataclasses.replace(SHOWN, position=np.zeros(5, np.int32))
    nobody = dataclasses.replace(SHOWN, user_ids=np.array([b"?"] * 2, object))
    for shown in (None, fixed, unknown, nowhere, nobody):
        assert by_chance(fused, shown) is None
    assert describe_value(None, 0.1) is None and policy_value.means_of(None) == {}
    assert to_markdown({"eval": None}) == to_html({"eval": None}) == ""


def drawn(num: int, of_best: float, share: float = 1.0, rate: float = 0.5) -> Slots:
    """Cards of two kinds, drawn evenly: of the better one `of_best` are taken, of the other `rate`.

    Args:
        num: slots, of a fifth as many users.
        share: probability with which the new policy shows the better kind; the rest of it was never served.
    """
    rng = np.random.default_rng(5)
    is_better = rng.random(num) < 0.5
    taken = rng.random(num) < np.where(is_better, of_best, rate)
    mass = np.zeros((num, NUM_PARTS))
    mass[:, 0], mass[:, 3] = share, 1 - share
    soft = np.zeros((num, NUM_PARTS))
    soft[:, 0], soft[:, 1] = 0.7, 0.3
    users = np.array([b"u%d" % number for number in rng.integers(num // 5, size=num)], object)
    group = np.where(is_better, 0, 1)
    policies = {"best": (is_better * share, mass), "soft": (np.where(is_better, 0.7, 0.3), soft)}
    return Slots(users, np.arange(num), group, np.full(num, 0.5), taken.astype(float), policies)


def test_the_value_is_found_and_lies_above_what_was_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_value, "POLICIES", {"best": 0.0})
    found = describe_value(drawn(20_000, of_best=0.6, rate=0.2), 0.1)
    best = found["policies"]["best"]
    assert found["served"][0] == pytest.approx(0.4, abs=0.02)
    for figure, truth in (("snips", 0.6), ("doubly_robust", 0.6), ("gain", 0.2)):
        value, low, high = best[figure]
        assert value == pytest.approx(truth, abs=0.02) and low < truth < high and high - low < 0.05, figure
    assert best["effective_sample_size"] == pytest.approx(10_000, rel=0.03)
    soft = found["policies"]["soft"]  # 0.7 x 0.6 + 0.3 x 0.2.
    for figure in ("snips", "doubly_robust"):
        assert soft[figure][0] == pytest.approx(0.48, abs=0.02), figure
    assert (best["more_pages"], best["support"], best["clipped"]) == (0, "enough", 0)
    means = policy_value.means_of(found)
    assert means == {
        "snips": best["snips"][0],
        "doubly_robust": best["doubly_robust"][0],
        "effective_sample_size": best["effective_sample_size"],
    }
    card, page = (write({"eval": None, "test": found}) for write in (to_markdown, to_html))
    assert "| test | as served | 0.4" in card and "| test | best | 0.6" in card and "| enough |" in card
    assert "<td>best<td>0.6" in page


def test_weights_that_were_cut_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_value, "POLICIES", {"best": 0.0})
    # One card in twenty thousand was served by a chance of 0.001: its weight of 1,000 is cut to the root of them.
    rare = drawn(20_000, of_best=0.6, rate=0.2)
    probability, _ = rare.policies["best"]
    place = int(np.flatnonzero(probability)[0])
    propensity = np.where(np.arange(20_000) == place, 0.001, rare.propensity)
    found = describe_value(dataclasses.replace(rare, propensity=propensity), 0.1)["policies"]["best"]
    assert found["clipped"] == 1 / 20_000 and found["support"] == "enough; 0.01% of the weights were cut"
    uncut = (rare.taken @ (probability / propensity)) / (probability / propensity).sum()
    assert found["snips"][0] != pytest.approx(uncut, abs=1e-4)


def test_too_small_a_support_is_said_and_nothing_is_extrapolated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_value, "POLICIES", {"best": 0.0})
    few = describe_value(drawn(100, of_best=0.5), 0.1)["policies"]["best"]
    assert few["snips"] is few["doubly_robust"] is few["gain"] is None
    # A rate of a half needs (1.96 / 0.1)² = 384 cards; of about 50 of the 100 something is known.
    assert 300 < few["more_pages"] < 1000 and few["support"] == f"too small: needs {few['more_pages']:,} more pages"
    unserved = describe_value(drawn(20_000, of_best=0.5, share=0.6), 0.1)["policies"]["best"]
    assert unserved["snips"] is None and unserved["more_pages"] is None
    assert unserved["support"] == "too small: 40% of what it shows could not have been served"
    # Of 30 slots nobody can tell whether 0.75 of what it shows could have been served, or all of it.
    fewer = describe_value(drawn(30, of_best=0.5, share=0.75), 0.1)["policies"]["best"]
    assert fewer["more_pages"] > 500 and fewer["could_be_served"] < 0.9
    nothing = describe_value(drawn(100, of_best=0.0, rate=0.0), 0.1)
    assert nothing["policies"]["best"]["support"] == "too small: nothing was taken"
    assert policy_value.means_of(nothing).keys() == {"effective_sample_size"}
    assert "| too small: nothing was taken |" in to_markdown({"test": nothing})
