import dataclasses
from typing import Any

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from homefeed.models.exposures import Exposures
from homefeed.models.ranking.examples.labelled_points import LabelledPoints, make_batch, tensors
from homefeed.models.ranking.examples.shown_points import ShownPoints, make_shown_batch
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.training import trainer as trainers
from homefeed.models.ranking.training.trainer import Trainer
from homefeed.models.shared.prediction_points import every_target
from tests.models.ranking.toy import CONFIG, make_ranker
from tests.toy_data import toy_catalogue, toy_sequences

TRAIN = toy_sequences()
TINY = dataclasses.replace(
    CONFIG,
    num_targets=2,
    num_listed=1,
    num_negatives=3,
    num_retrieved=4,
    batch_size=4,
    dropout=0.0,
    id_dropout=0.0,
    list_weight=0.7,
)


def _points(sequences: Any = TRAIN, num: int = 10) -> LabelledPoints:
    points = every_target(sequences)[:num]
    retrieved = np.tile(np.array([7, 2, 5, 1], np.int32), (len(points), 1))
    return LabelledPoints(sequences, points, retrieved, retrieved.astype(np.float32), True)


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    made = make_ranker(toy_catalogue(), TRAIN, TINY)
    for variable in made.trainable_variables:
        variable.assign(np.random.default_rng(len(variable.path)).normal(0, 0.3, variable.shape))
    return made


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    return make_batch(_points(), np.arange(6), TINY, np.random.default_rng(0))


def _expected(outputs: dict[str, np.ndarray], batch: dict[str, np.ndarray], judged: np.ndarray) -> list[float]:
    """Listwise, cross-entropy and squared error, a candidate at a time."""
    listwise, total = 0.0, 0.0
    for row, place in np.argwhere(batch["relevance"] > 0):
        others = np.exp(outputs["list_logits"][row][batch["irrelevant"][row]]).sum()
        own = np.exp(outputs["list_logits"][row, place])
        listwise -= batch["relevance"][row, place] * np.log(own / (own + others))
        total += batch["relevance"][row, place]
    chance = scipy.special.expit(outputs["positive_logits"])
    entropy = -np.where(batch["positive"] > 0, np.log(chance), np.log(1 - chance))
    known = np.isfinite(batch["value"])
    target = (batch["value"] - np.nanmean(TRAIN.value)) / np.nanstd(TRAIN.value)
    squared = (outputs["ratings"] - target)[known] ** 2
    return [listwise / total, np.average(entropy, weights=judged), squared.mean()]


def _losses(ranker: Ranker, batch: Any, share: float, **changes: Any) -> list[float]:
    trainer = Trainer(ranker, dataclasses.replace(TINY, **changes), share)
    return [float(loss) for loss in trainer._losses(tensors(batch), False)]


def test_the_loss_is_the_weighted_sum_of_three(ranker: Ranker, batch: Any) -> None:
    outputs = {name: np.asarray(value) for name, value in ranker(tensors(batch)).items()}
    parts = _expected(outputs, batch, batch["is_event"])
    found = _losses(ranker, batch, 0.4)
    assert found == pytest.approx([np.dot([0.7, 1, 1], parts), *parts, 0], rel=1e-4)


def test_where_nobody_disliked_anything_what_was_not_chosen_stands_for_it(ranker: Ranker, batch: Any) -> None:
    outputs = {name: np.asarray(value) for name, value in ranker(tensors(batch)).items()}
    liked = batch | {"positive": batch["is_event"]}
    judged = batch["is_event"] + batch["irrelevant"]
    assert _losses(ranker, liked, 1.0)[2] == pytest.approx(_expected(outputs, liked, judged)[1], rel=1e-4)


def test_evaluation_is_as_serving_and_keeps_its_order(ranker: Ranker) -> None:
    config = dataclasses.replace(TINY, num_negatives=1, num_targets=2)
    as_served = trainers.eval_config(config)
    assert (as_served.num_targets, as_served.num_listed, as_served.num_negatives) == (1, 1, 4)
    assert trainers.eval_config(dataclasses.replace(config, targets="any")).num_targets == 64
    trainer, points = Trainer(ranker, config, 0.4), _points()
    evaluate = tf.function(lambda batch: trainer._losses(batch, False))
    found = trainer._evaluate(evaluate, points)
    whole = make_batch(points, np.arange(len(points)), as_served, np.random.default_rng(0))
    expected = [float(loss) for loss in trainer._losses(tensors(whole), False)]
    assert list(found) == pytest.approx(expected, rel=1e-3)
    assert trainer._evaluate(evaluate, _points(num=0))[0] == float("inf")


def test_batches_of_one_size_hold_every_point(ranker: Ranker) -> None:
    points = _points(num=10)
    trainer = Trainer(ranker, TINY, 0.4)
    batches = list(trainer._batches(points, TINY, np.random.default_rng(0)))
    assert [len(b["candidates"]) for b in batches] == [4, 4, 4]
    times = np.concatenate([b["timestamp"] for b in batches])
    expected = TRAIN.timestamp[points.points.cut]
    assert set(times) == set(expected) and times[:10].tolist() != expected.tolist()
    in_order = list(trainer._batches(points, TINY, np.random.default_rng(0), shuffle=False))
    assert np.concatenate([b["timestamp"] for b in in_order]).tolist() == expected.tolist()


def _run(ranker: Ranker, evals: list[float], patience: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], Any]:
    """Epochs with these losses on eval, the first of them before training; and the head after each."""
    losses, heads = iter(evals), []

    def evaluate(*_: Any) -> tuple[float, ...]:
        heads.append(np.array(ranker._heads.kernel))
        return (next(losses), 0.0, 0.0, 0.0)

    config = dataclasses.replace(TINY, patience=patience, learning_rate=0.1, epochs=len(evals) - 1)
    trainer = Trainer(ranker, config, 0.4)
    monkeypatch.setattr(trainer, "_evaluate", evaluate)
    logged: list[Any] = []
    points = _points(num=4)
    epochs = trainer.run(lambda: points, points, np.random.default_rng(0), logged.append)
    assert epochs == logged
    return epochs, heads


def test_the_best_weights_are_kept_and_patience_ends(ranker: Ranker, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs, heads = _run(ranker, [3.0, 2.0, 1.0, 1.0, 1.5, 0.1], 2, monkeypatch)
    assert [epoch.eval_loss for epoch in epochs] == [2.0, 1.0, 1.0, 1.5]  # Twice no better: it ends before 0.1.
    np.testing.assert_array_equal(np.array(ranker._heads.kernel), heads[2])
    assert np.abs(heads[2] - heads[4]).max() > 1e-4


def test_training_that_makes_it_worse_changes_nothing(ranker: Ranker, monkeypatch: pytest.MonkeyPatch) -> None:
    _, heads = _run(ranker, [1.0, 2.0, 3.0], 9, monkeypatch)
    np.testing.assert_array_equal(np.array(ranker._heads.kernel), heads[0])


def test_no_epochs_no_training(ranker: Ranker) -> None:
    trainer, before = Trainer(ranker, dataclasses.replace(TINY, epochs=0), 0.4), np.array(ranker._heads.kernel)
    assert trainer.run(_points, _points(), np.random.default_rng(0), print) == []
    np.testing.assert_array_equal(np.array(ranker._heads.kernel), before)


def _shown(num: int = 6) -> ShownPoints:
    """Pages of three, whose first place is taken, whatever stands there."""
    points = every_target(TRAIN)[:num]
    exposures = Exposures(
        user_ids=TRAIN.user_ids[points.row],
        timestamp=TRAIN.timestamp[points.cut],
        row_splits=3 * np.arange(num + 1),
        item_index=(np.arange(3 * num) % 7 + 1).astype(np.int32),
        position=np.tile([1, 2, 3], num).astype(np.int32),
        propensity=np.full(3 * num, np.nan, np.float32),
        clicked=np.tile([True, False, False], num),
    )
    shown = ShownPoints.of(exposures, TRAIN, True)
    assert shown is not None
    return shown


def test_what_was_taken_is_told_from_what_was_left_by_item_and_place(ranker: Ranker) -> None:
    trainer = Trainer(ranker, TINY, 0.4)
    bias = np.array([0, 1.5, -0.5, 0.25])
    trainer._position_bias.assign(np.pad(bias, (0, trainer._position_bias.shape[0] - 4)))
    batch = make_shown_batch(_shown(), np.arange(6), TINY, np.random.default_rng(0))
    batch["log_weight"] = np.where(batch["irrelevant"], [[-0.7, 0.5, 0.2]], 0).astype(np.float32)
    logits = np.asarray(ranker(tensors(batch))["list_logits"]) + bias[batch["position"]] + batch["log_weight"]
    taken = batch["relevance"] > 0
    expected = [
        -np.log(np.exp(row[own]).sum() / np.exp(row[own | left]).sum())
        for row, own, left in zip(logits, taken, batch["irrelevant"], strict=True)
    ]
    assert float(trainer._shown_loss(tensors(batch), False)) == pytest.approx(np.mean(expected), rel=1e-4)


def test_places_are_learnt_beside_the_ranker_and_stay_behind() -> None:
    made = make_ranker(toy_catalogue(), TRAIN, TINY)
    config = dataclasses.replace(TINY, epochs=8, learning_rate=0.1, list_weight=0.0)
    trainer = Trainer(made, config, 0.4)
    epochs = trainer.run(_points, _points(), np.random.default_rng(0), lambda _: None, _shown(), _shown())
    bias = np.array(trainer._position_bias)
    assert bias[1] > bias[2] and bias[1] > bias[3] and (bias[4:] == 0).all()
    assert epochs[-1].eval_shown < epochs[0].eval_shown
    assert "position_bias" not in {variable.name for variable in made.variables}


def test_as_many_impressions_as_points_again_and_again(ranker: Ranker) -> None:
    trainer = Trainer(ranker, TINY, 0.4)
    batches = list(trainer._with_shown(iter([{"x": np.zeros(1)}] * 3), _shown(), np.random.default_rng(0)))
    times = np.concatenate([batch[trainers.SHOWN]["timestamp"] for batch in batches])
    assert len(times) == 12 and np.unique(times, return_counts=True)[1].tolist() == [2] * 6
    without = list(trainer._with_shown(iter([{"x": np.zeros(1)}]), None, np.random.default_rng(0)))
    assert trainers.SHOWN not in without[0]
