import dataclasses
from typing import Any

import numpy as np
import pytest

from homefeed.models.objectives import Objectives
from homefeed.models.ranking.training import fit as training
from homefeed.models.ranking.training.trainer import Epoch
from homefeed.models.sequences import Sequences
from homefeed.models.shared import prediction_points
from homefeed.models.shared.prediction_points import PredictionPoints
from tests.models.ranking.toy import CONFIG, make_ranker
from tests.toy_data import toy_catalogue, toy_sequences

TINY = dataclasses.replace(
    CONFIG, num_targets=2, num_negatives=3, num_retrieved=4, points_per_user=2, batch_size=4, epochs=2
)
TRAIN, EVAL = toy_sequences(), toy_sequences(num_history=2)
PLAIN = Objectives.of(TRAIN, toy_catalogue())


class Retrieve:
    """Returns the same rows for everybody, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Sequences, int, int]] = []

    def __call__(self, sequences: Sequences, points: PredictionPoints, k: int) -> tuple[Any, Any]:
        self.asked.append((sequences, len(points), k))
        rows = np.tile(np.arange(1, k + 1, dtype=np.int32), (len(points), 1))
        return rows, -rows.astype(np.float32)


def test_next_events_are_learnt_among_what_retrieval_returned() -> None:
    retrieve = Retrieve()
    source = training._source(TRAIN, retrieve, PLAIN, TINY, np.random.default_rng(0))
    first, second = source(), source()
    assert len(first) == 10 and first.in_training, "two points of each of five users"
    assert first.points.cut.tolist() != second.points.cut.tolist(), "drawn anew"
    assert retrieve.asked == [(TRAIN, 10, 4)] * 2
    held_out = training._held_out(EVAL, retrieve, (), TINY)
    assert len(held_out) == len(EVAL.targets) and not held_out.in_training
    assert retrieve.asked[-1] == (EVAL, len(EVAL.targets), 4)


def test_any_events_are_learnt_given_all_others() -> None:
    config, retrieve = dataclasses.replace(TINY, targets="any"), Retrieve()
    source = training._source(TRAIN, retrieve, PLAIN, config, np.random.default_rng(0))
    drawn = [source() for _ in range(40)]
    share = np.mean([1 - d.sequences.num_history.sum() / len(TRAIN.item_index) for d in drawn])
    assert share == pytest.approx(training._HELD_OUT, abs=0.05)
    assert all(d.in_training and not d.retrieved.any() for d in drawn)
    held_out = training._held_out(EVAL, retrieve, (), config)
    assert len(held_out) == EVAL.num_users and not held_out.in_training and retrieve.asked == []


@pytest.mark.parametrize("targets", ["next", "any"])
def test_a_pass_takes_some_of_many_users(targets: Any) -> None:
    config = dataclasses.replace(TINY, targets=targets, max_points=3)
    source = training._source(TRAIN, Retrieve(), PLAIN, config, np.random.default_rng(0))
    passes = [source() for _ in range(40)]
    assert max(len(points) for points in passes) == 3
    everybody = np.unique(prediction_points.every_target(TRAIN).row)
    assert set(np.concatenate([points.points.row for points in passes])) == set(everybody), "others each time"


def test_eval_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_MAX_EVAL_POINTS", 3)
    held_out = training._held_out(EVAL, Retrieve(), (), TINY)
    middle = (len(EVAL.targets) - 1) // 2
    assert held_out.points.cut.tolist() == EVAL.targets[[0, middle, -1]].tolist()


def test_training_is_logged_and_what_is_exported_reads_as_the_text_model() -> None:
    ranker, logged, started = make_ranker(toy_catalogue(), TRAIN, TINY), [], []
    before = ranker.text.heads.get_weights()
    trained = training.fit(
        ranker, TRAIN, EVAL, Retrieve(), TINY, logged.append, start=lambda made: started.append(made)
    )
    assert len(logged) == 2 and tuple(logged) == trained.epochs
    assert all(isinstance(epoch, Epoch) and np.isfinite(epoch.train_loss) for epoch in logged)
    assert started == [ranker]
    np.testing.assert_array_equal(ranker.items.texts(np.arange(8)), ranker.text.items[:8])
    for weight, value in zip(ranker.text.heads.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)
