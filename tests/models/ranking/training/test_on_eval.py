import dataclasses
from typing import Any

import numpy as np
import pytest
import scipy.special

from homefeed.models.ranking.examples.labelled_points import LabelledPoints, make_batch, tensors, unlisted
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.training import blend as blends
from homefeed.models.ranking.training import on_eval
from homefeed.models.ranking.training.blend import Blend
from homefeed.models.ranking.training.calibration import Calibration
from homefeed.models.ranking.training.trained import Trained
from homefeed.models.ranking.training.uncertainty import Uncertainty
from homefeed.models.shared.prediction_points import every_target, first_targets, places_of_coming
from tests.models.ranking.toy import CONFIG, make_ranker
from tests.toy_data import toy_catalogue, toy_sequences

EVAL = toy_sequences(num_history=2)
TINY = dataclasses.replace(CONFIG, num_retrieved=4, dropout=0.0)


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    made = make_ranker(toy_catalogue(), toy_sequences(), TINY)
    for variable in made.trainable_variables:
        variable.assign(np.random.default_rng(len(variable.path)).normal(0, 0.3, variable.shape))
    return made


def _held_out(num: int | None = None) -> LabelledPoints:
    points = every_target(EVAL)[:num]
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(np.arange(1, 8))[:4] for _ in range(len(points))]
    retrieved = np.array(drawn, np.int32).reshape(-1, 4)
    retrieved[::3, 3] = 0
    return LabelledPoints(EVAL, points, retrieved, rng.normal(size=retrieved.shape).astype(np.float32), False)


def test_what_is_fitted_sees_the_candidates_as_retrieval_gave_them(
    ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(blends, "fit_blend", lambda *given: seen.update(blend=given) or Blend())
    monkeypatch.setattr(on_eval, "fit_calibration", lambda *given: seen.update(calibration=given) or Calibration())
    held_out = _held_out()
    on_eval.fit_on_eval(ranker, held_out, TINY)
    retrieval, logits, texts, target, present = seen["blend"]
    coming = EVAL.item_index[held_out.points.cut]
    for row, item in enumerate(coming):
        places = np.flatnonzero(held_out.retrieved[row] == item)
        assert target[row] == (places[0] if len(places) else -1)
    assert (target >= 0).any() and (target < 0).any()
    np.testing.assert_array_equal(present, held_out.retrieved > 0)
    np.testing.assert_array_equal(retrieval, blends.standardise(held_out.retrieval_scores, present))
    one = make_batch(held_out, np.array([5]), TINY, np.random.default_rng(0))
    one["candidates"] = np.concatenate([[[coming[5]]], held_out.retrieved[5:6]], 1).astype(np.int32)
    alone = ranker(tensors(one))
    np.testing.assert_allclose(texts[5], np.asarray(alone["text_logits"])[0, 1:], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(logits[5], np.asarray(alone["list_logits"])[0, 1:], rtol=1e-3, atol=1e-4)
    logits, happened, interest, users, weights = seen["calibration"]
    # Each later event with an item that is retrieved, as often as it is, and once in all.
    rows = held_out.points.row
    pairs = [
        (row, place, position)
        for row, cut in enumerate(held_out.points.cut)
        for place, item in enumerate(held_out.retrieved[row])
        for position in range(cut, EVAL.row_splits[rows[row] + 1])
        if item and EVAL.item_index[position] == item and item not in EVAL.item_index[cut:position]
    ]
    assert happened.tolist() == [EVAL.positive[position] for *_, position in pairs]
    assert users.tolist() == [rows[row] for row, *_ in pairs]
    assert weights.sum() == pytest.approx(len({position for *_, position in pairs})) and weights.min() < 1
    standard = blends.standardise(retrieval.astype(np.float32), present)  # Blend(): retrieval alone.
    np.testing.assert_allclose(interest, [standard[row, place] for row, place, _ in pairs], atol=1e-5)
    first, place, _ = pairs[0]
    one = make_batch(held_out, np.array([first]), TINY, np.random.default_rng(0))
    one["candidates"] = held_out.retrieved[[first]]
    assert logits[0] == pytest.approx(float(ranker(tensors(one))["positive_logits"][0, place]), abs=1e-3)


def test_each_objective_has_a_blend_and_each_type_a_calibration() -> None:
    objectives = {"purchases": {"buy": 1.0}, "likes": {"like": 1.0}, "interactions": {}}
    made = make_ranker(toy_catalogue(), dataclasses.replace(toy_sequences(), objectives=objectives), TINY)
    held_out = dataclasses.replace(_held_out(), types=("buy",))
    _, calibrations, found, _ = on_eval.fit_on_eval(made, held_out, TINY)
    assert found.keys() == {"purchases", "likes"} and len(calibrations) == 2
    assert on_eval.fit_on_eval(made, dataclasses.replace(_held_out(0), types=("buy",)), TINY) == (
        Blend(),
        [Calibration(), Calibration()],
        {},
        Uncertainty(),
    )


def test_scores_of_an_objective_are_log_odds_of_what_comes_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def scale(scores: Any, place: Any) -> float:
        asked.append(np.take_along_axis(scores, place[:, None], 1))
        return 2.0

    monkeypatch.setattr(blends, "most_likely_scale", scale)
    data = dataclasses.replace(toy_sequences(), objectives={"likes": {"like": 1.0}})
    ranker = make_ranker(toy_catalogue(), data, TINY)
    held_out = _held_out()
    blend, _, found, _ = on_eval.fit_on_eval(ranker, held_out, TINY)
    assert blend.interest.any() and found["likes"].interest.tolist() == (2 * blend.interest).tolist()
    of_all, of_liked = asked
    assert 0 < len(of_liked) < len(of_all) and np.isfinite(of_liked).all()


def test_what_is_sure_is_fitted_to_each_event_once(ranker: Ranker, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(on_eval, "fit_uncertainty", lambda judged: asked.append(judged) or Uncertainty())
    held_out = _held_out()
    on_eval.fit_on_eval(ranker, held_out, TINY)
    (judged,) = asked
    coming = places_of_coming(held_out.sequences, held_out.points, held_out.retrieved)
    events = np.unique(coming[coming >= 0])
    assert len(judged.happened) == len(events) < (coming >= 0).sum()
    assert judged.happened.tolist() == held_out.sequences.positive[events].tolist()
    assert judged.items.tolist() == held_out.sequences.item_index[events].tolist()
    counts = np.bincount(toy_sequences().item_index, minlength=8)
    assert judged.of_item.tolist() == counts[judged.items].tolist()
    assert (judged.of_user <= max(TINY.max_events, TINY.max_rated_events)).all() and judged.of_user.min() > 0


def test_nothing_to_judge_by(ranker: Ranker) -> None:
    assert on_eval.fit_on_eval(ranker, _held_out(0), TINY) == (Blend(), [Calibration()], {}, Uncertainty())


def test_predictions_in_numpy(ranker: Ranker) -> None:
    trained = Trained(ranker, Blend(), Calibration(slope=0.5, offset=-0.3), ())
    probability, rating, positive, value = on_eval.predict(trained, EVAL)
    assert len(probability) == len(EVAL.targets)
    assert positive.astype(bool).tolist() == EVAL.positive[EVAL.targets].tolist()
    np.testing.assert_array_equal(value, EVAL.value[EVAL.targets])
    points = first_targets(EVAL)
    config = dataclasses.replace(TINY, num_targets=5, num_negatives=0)
    given = make_batch(unlisted(EVAL, points, 1, False), np.arange(len(points)), config, np.random.default_rng(0))
    outputs = ranker(tensors(given))
    known = given["is_event"] > 0
    logits = np.asarray(outputs["positive_logits"])[known]
    np.testing.assert_allclose(probability, scipy.special.expit(0.5 * logits - 0.3), rtol=1e-3, atol=1e-5)
    plain = ranker.scale.mean + ranker.scale.deviation * np.asarray(outputs["ratings"])[known]
    np.testing.assert_allclose(rating, np.clip(plain, 1, 5), rtol=1e-3, atol=1e-4)
    assert ((rating >= 1) & (rating <= 5)).all()


def test_where_nothing_that_came_was_retrieved_it_is_fitted_to_what_was_chosen(ranker: Ranker) -> None:
    nothing = dataclasses.replace(_held_out(), retrieved=np.zeros_like(_held_out().retrieved))
    _, (calibration,), _, _ = on_eval.fit_on_eval(ranker, nothing, TINY)
    assert calibration != Calibration()
