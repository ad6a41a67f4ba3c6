import dataclasses
from typing import Any

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from homefeed.models.ranking.examples.labelled_points import make_batch, tensors, unlisted
from homefeed.models.ranking.export import RankingModule, rank_specs
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.training import blend as blends
from homefeed.models.ranking.training.blend import Blend
from homefeed.models.ranking.training.calibration import Calibration
from homefeed.models.ranking.training.trained import Trained
from homefeed.models.ranking.training.uncertainty import Uncertainty, Unknown
from homefeed.models.shared.prediction_points import PredictionPoints
from tests.models.ranking.toy import CONFIG, make_ranker
from tests.toy_data import toy_catalogue, toy_sequences

TRAIN, CATALOGUE = toy_sequences(), toy_catalogue()
LOWEST = np.finfo(np.float32).min
TINY = dataclasses.replace(CONFIG, max_rated_events=2, dropout=0.0)
CANDIDATES = ["i1", "i5", "i3", "", "i7"]
RETRIEVAL = np.float32([1.0, -2.0, 3.0, 9.0, LOWEST])  # Padding, and an item that retrieval had no score for.


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    made = make_ranker(CATALOGUE, TRAIN, TINY)
    for variable in made.trainable_variables:
        variable.assign(np.random.default_rng(len(variable.path)).normal(0, 0.3, variable.shape))
    return made


@pytest.fixture(scope="module")
def served(ranker: Ranker) -> dict[str, np.ndarray]:
    """What `rank` says of user 2 after five events."""
    trained = _trained(ranker)
    return _ask(RankingModule(trained, CATALOGUE, TRAIN))


def _trained(ranker: Ranker) -> Trained:
    return Trained(ranker, Blend(0.9, 0.4, 0.2), Calibration(0.5, -0.3, 0.1, 0.2), ())


def _ask(module: RankingModule, **changes: Any) -> dict[str, np.ndarray]:
    start, stop = TRAIN.row_splits[2], TRAIN.row_splits[2] + 4
    types = ["", "[UNK]", *TRAIN.event_vocabularies["event_type"]]
    genders = ["", "[UNK]", *TRAIN.vocabularies["gender"]]
    request = {
        "history": [[CATALOGUE.item_ids[item].decode() for item in TRAIN.item_index[start:stop]]],
        "history_value": [TRAIN.value[start:stop].tolist()],
        "history_event_type": [[types[at] for at in TRAIN.event_categorical["event_type"][start:stop]]],
        "history_timestamp": [TRAIN.timestamp[start:stop].tolist()],
        "timestamp": [int(TRAIN.timestamp[stop])],
        "user_gender": [genders[int(TRAIN.categorical["gender"][2, 0])]],
        "user_age": TRAIN.numeric["age"][2].tolist(),
        "candidates": [CANDIDATES],
        "retrieval_scores": [RETRIEVAL],
        "candidate_token_ids": [[[0]]],
        "objective": [""],
    } | changes
    specs = rank_specs(TRAIN)
    found = module.signatures()["rank"](**{n: tf.constant(request[n], spec.dtype) for n, spec in specs.items()})
    return {name: value.numpy()[0] for name, value in found.items()}


@pytest.fixture(scope="module")
def trained_outputs(ranker: Ranker) -> dict[str, np.ndarray]:
    """What training would make of the same candidates at the same point."""
    point = PredictionPoints(np.array([2]), TRAIN.row_splits[[2]] + 4)
    asked = unlisted(TRAIN, point, 1, False)
    batch = make_batch(asked, np.array([0]), TINY, np.random.default_rng(0))
    batch["candidates"] = np.array([[1, 5, 3, 0, 7]], np.int32)
    return {name: np.asarray(value)[0] for name, value in ranker(tensors(batch)).items()}


def test_scores_are_the_blend_of_three(served: Any, trained_outputs: Any) -> None:
    present = np.array([[True, True, True, False, False]])
    retrieval = blends.standardise(RETRIEVAL[None], present)[0]
    expected = 0.9 * retrieval + 0.4 * trained_outputs["list_logits"] + 0.2 * trained_outputs["text_logits"]
    np.testing.assert_allclose(served["scores"][[0, 1, 2, 4]], expected[[0, 1, 2, 4]], rtol=1e-3, atol=1e-4)
    assert served["scores"][3] == LOWEST


def test_probabilities_are_calibrated(served: Any, trained_outputs: Any) -> None:
    """Given how interesting each is among what is there."""
    present = np.array([[True, True, True, False, True]])
    interest = blends.standardise(served["interests"][None], present)[0]
    expected = Calibration(0.5, -0.3, 0.1, 0.2)(trained_outputs["positive_logits"], interest)
    plain = scipy.special.expit(0.5 * trained_outputs["positive_logits"] - 0.3)
    assert np.abs(expected - plain)[[0, 1, 2, 4]].max() > 0.02
    np.testing.assert_allclose(served["probabilities"][[0, 1, 2, 4]], expected[[0, 1, 2, 4]], rtol=1e-3)
    assert served["probabilities"][3] == 0


def test_deviations_are_larger_for_new_users_and_new_items(ranker: Ranker) -> None:
    sure = Uncertainty(Unknown(1.0, 0.5), Unknown(2.0, 0.1))
    module = RankingModule(dataclasses.replace(_trained(ranker), uncertainty=sure), CATALOGUE, TRAIN)
    events = {"history": [["i1", "i2", "i4"]], "history_timestamp": [[1, 2, 3]]}
    events |= {"history_value": [[4.0, 4.0, 4.0]], "history_event_type": [["", "", ""]]}
    counts = np.bincount(TRAIN.item_index)
    rows = [CATALOGUE.item_ids.tolist().index(item.encode()) for item in CANDIDATES if item]
    new, known = (
        _ask(module, **{name: [column[0][:length]] for name, column in events.items()}) for length in (0, 3)
    )
    for found, num_events in ((new, 0), (known, 3)):
        deviation = np.delete(found["probability_deviation"], 3)
        expected = sure.deviation(np.delete(found["probabilities"], 3), num_events, counts[rows])
        np.testing.assert_allclose(deviation, expected, rtol=1e-4)
        assert found["probability_deviation"][3] == 0
    unknown = _ask(module, candidates=[["i1", "who", "i3", "", "i7"]])
    expected = sure.deviation(unknown["probabilities"][1], min(4, max(TINY.max_events, TINY.max_rated_events)), 0)
    assert unknown["probability_deviation"][1] == pytest.approx(expected, rel=1e-4)


def test_ratings_are_in_the_datas_unit_and_range(served: Any, trained_outputs: Any, ranker: Ranker) -> None:
    scale = ranker.scale
    expected = np.clip(scale.mean + scale.deviation * trained_outputs["ratings"], scale.lowest, scale.highest)
    np.testing.assert_allclose(served["ratings"][[0, 1, 2, 4]], expected[[0, 1, 2, 4]], rtol=1e-3)
    assert served["ratings"][3] == 0


def test_gaps_and_unknown_ids_in_a_history_change_nothing(ranker: Ranker) -> None:
    module = RankingModule(Trained(ranker, Blend(0, 1, 1), Calibration(), ()), CATALOGUE, TRAIN)
    plain = _ask(module)
    start = TRAIN.row_splits[2]
    ids = [CATALOGUE.item_ids[item].decode() for item in TRAIN.item_index[start : start + 4]]
    types = ["", "[UNK]", *TRAIN.event_vocabularies["event_type"]]
    kinds = [types[at] for at in TRAIN.event_categorical["event_type"][start : start + 4]]
    gaps = {
        "history": [["zz", ids[0], "", ids[1], ids[2], "zz", ids[3], ""]],
        "history_value": [np.insert(TRAIN.value[start : start + 4], [0, 1, 3, 4], 9.0).tolist()],
        "history_timestamp": [np.insert(TRAIN.timestamp[start : start + 4], [0, 1, 3, 4], 5).tolist()],
        "history_event_type": [np.insert(kinds, [0, 1, 3, 4], "buy").tolist()],
    }
    found = _ask(module, **gaps)
    assert found.pop("objective") == plain["objective"]
    for name, value in found.items():
        np.testing.assert_allclose(value, plain[name], rtol=1e-4, atol=1e-5)


def test_what_was_before_the_newest_events_is_not_read(ranker: Ranker) -> None:
    """The model reads three events: a fourth and a fifth before them change nothing."""
    module = RankingModule(Trained(ranker, Blend(0, 0, 1), Calibration(), ()), CATALOGUE, TRAIN)
    histories = [[f"i{row}" for row in rows] for rows in ([5, 6, 1, 2, 3], [7, 1, 2, 3])]
    found = [
        _ask(
            module,
            history=[history],
            history_value=[[3.0] * len(history)],
            history_event_type=[[""] * len(history)],
            history_timestamp=[[10] * len(history)],
        )["scores"]
        for history in histories
    ]
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_tokens_of_another_vocabulary_are_unknown_words(ranker: Ranker) -> None:
    found = ranker.text.with_ids_in_range(tf.constant([[-1, 0, 9, 10, 999]])).numpy().tolist()
    assert found == [[1, 0, 9, 1, 1]]  # Ten tokens; [UNK] is 1.


def test_no_text_of_a_candidate_is_an_empty_one(ranker: Ranker, served: dict[str, np.ndarray]) -> None:
    module = RankingModule(_trained(ranker), CATALOGUE, TRAIN)
    for nothing in (np.zeros([1, 0, 0]), np.zeros([1, 0, 3]), np.zeros([1, 1, 0])):
        np.testing.assert_allclose(_ask(module, candidate_token_ids=nothing)["scores"], served["scores"], rtol=1e-6)


def test_values_beyond_all_that_was_seen_count_as_the_nearest(ranker: Ranker) -> None:
    module = RankingModule(_trained(ranker), CATALOGUE, TRAIN)
    lowest, highest = float(np.nanmin(TRAIN.value)), float(np.nanmax(TRAIN.value))
    nearest = _ask(module, history_value=[[lowest, highest, np.nan, highest]])
    beyond = _ask(module, history_value=[[-3e38, 3e38, np.inf, 1e30]])
    for name, expected in nearest.items():
        np.testing.assert_array_equal(beyond[name], expected)


@pytest.mark.parametrize("large", [3e38, np.inf, np.nan])
def test_scores_are_numbers_whatever_retrieval_says(ranker: Ranker, large: float) -> None:
    module = RankingModule(_trained(ranker), CATALOGUE, TRAIN)
    for sign in (1, -1):
        assert np.isfinite(_ask(module, retrieval_scores=[[1.0, sign * large, 3.0, 9.0, large]])["scores"]).all()


def test_a_list_has_an_end(ranker: Ranker) -> None:
    module = RankingModule(_trained(ranker), CATALOGUE, TRAIN)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`candidates` holds at most 2000 ids a request"):
        _ask(module, candidates=[[""] * 2001], retrieval_scores=np.zeros([1, 2001]))


def test_inputs_are_declared() -> None:
    queries = dataclasses.replace(TRAIN, query_token_ids=np.zeros((len(TRAIN.item_index), 1), np.int32))
    assert "query_token_ids" in rank_specs(queries) and "query_token_ids" not in rank_specs(TRAIN)
    assert rank_specs(TRAIN)["candidate_token_ids"].shape.as_list() == [None, None, None]


OBJECTIVES = {"declared": {"like": 2.0, "buy": "price", "dislike": -0.5}, "likes": {"like": 1.0}, "interactions": {}}
BLENDS = {"declared": Blend(0.9, 0.4, 0.2, 0.7), "likes": Blend(0.8, 0.1, 0.3, 1.5)}
CURVE = Calibration(0.5, -0.3, knots=(0.2, 0.4, 0.6), bends=(0.5, 0.8, -1.3), level=0.1)


@pytest.fixture(scope="module")
def by_objective() -> dict[str, dict[str, np.ndarray]]:
    """Objective → what a model says that has learnt P(buy) too; "": asked for none."""
    train = dataclasses.replace(TRAIN, objectives=OBJECTIVES)
    ranker = make_ranker(CATALOGUE, train, TINY)
    for variable in ranker.trainable_variables:
        variable.assign(np.random.default_rng(len(variable.path)).normal(0, 0.3, variable.shape))
    trained = Trained(ranker, Blend(0.9, 0.4, 0.2), CURVE, (), (Calibration(0.8, 0.1),), BLENDS)
    module = RankingModule(trained, CATALOGUE, train)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`objective` is one of declared, likes, interactions"):
        _ask(module, objective=["clicks"])
    return {name: _ask(module, objective=[name]) for name in ("", *OBJECTIVES)}


def test_a_list_is_sorted_for_what_the_request_asks(by_objective: dict[str, dict[str, np.ndarray]]) -> None:
    shown = [0, 1, 2, 4]
    for name, found in by_objective.items():
        assert bytes(found["objective"]).decode() == name or (name, found["objective"]) == ("", b"declared")
        weight = BLENDS[bytes(found["objective"]).decode()].value if name != "interactions" else 0.0
        expected = found["interests"] + weight * found["expected_values"]
        np.testing.assert_allclose(found["scores"][shown], expected[shown], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found["probabilities"], by_objective["likes"]["probabilities"])
    np.testing.assert_array_equal(by_objective[""]["scores"], by_objective["declared"]["scores"])
    assert not by_objective["interactions"]["expected_values"].any()
    likes = by_objective["likes"]
    np.testing.assert_allclose(likes["expected_values"], likes["probabilities"], rtol=1e-5)
    assert np.abs(likes["interests"] - by_objective["declared"]["interests"])[shown].max() > 1e-3


def test_an_expected_value_is_the_worth_of_each_outcome_by_its_probability(
    by_objective: dict[str, dict[str, np.ndarray]],
) -> None:
    """Of two likes, of the price where bought (the mean price where it is unknown), less a half where not liked."""
    found, price = by_objective["declared"], CATALOGUE.numeric["price"][:, 0]
    liked = found["probabilities"][[0, 1, 2, 4]]
    bought = (found["expected_values"][[0, 1, 2, 4]] - 2 * liked + 0.5 * (1 - liked)) / price[[1, 5, 3, 7]]
    assert ((bought > 0) & (bought < 1)).all() and np.ptp(bought) > 0.01


def test_the_isotonic_curve_in_the_graph(by_objective: dict[str, dict[str, np.ndarray]]) -> None:
    liked = by_objective["likes"]["probabilities"][[0, 1, 2, 4]]
    platt = np.linspace(0, 1, 10_001)
    logits = (scipy.special.logit(np.clip(platt, 1e-9, 1 - 1e-9)) + 0.3) / 0.5
    curve = CURVE(logits)
    assert (np.diff(curve) >= -1e-12).all() and curve[0] == pytest.approx(0.1)
    # 0.1 up to 0.2, then slope 0.5, from 0.4 on 1.3, and flat from 0.6 on.
    assert CURVE(np.array([(scipy.special.logit(0.5) + 0.3) / 0.5]))[0] == pytest.approx(0.1 + 0.1 + 0.13)
    assert ((liked >= 0.1) & (liked <= 0.46 + 1e-6)).all() and np.ptp(liked) > 0.01
