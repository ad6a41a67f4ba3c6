import dataclasses
from typing import Any

import numpy as np
import pytest

from homefeed.models.ranking.examples.prediction_points import PredictionPoints
from homefeed.models.ranking.training import fit as training
from homefeed.models.ranking.training import text_affinity
from homefeed.models.ranking.training.trainer import Epoch
from homefeed.models.sequences import Sequences
from tests.models.ranking.toy import CONFIG, make_ranker
from tests.toy_data import toy_catalogue, toy_sequences

TINY = dataclasses.replace(
    CONFIG, num_targets=2, num_negatives=3, num_retrieved=4, points_per_user=2, batch_size=4, epochs_without_text=1
)
TRAIN, EVAL = toy_sequences(), toy_sequences(num_history=2)


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
    source = training._source(TRAIN, retrieve, TINY, np.random.default_rng(0))
    first, second = source(), source()
    assert len(first) == 10 and first.in_training, "two points of each of five users"
    assert first.points.cut.tolist() != second.points.cut.tolist(), "drawn anew"
    assert retrieve.asked == [(TRAIN, 10, 4)] * 2
    held_out = training._held_out(EVAL, retrieve, TINY)
    assert len(held_out) == len(EVAL.targets) and not held_out.in_training
    assert retrieve.asked[-1] == (EVAL, len(EVAL.targets), 4)


def test_any_events_are_learnt_given_all_others() -> None:
    config, retrieve = dataclasses.replace(TINY, targets="any"), Retrieve()
    source = training._source(TRAIN, retrieve, config, np.random.default_rng(0))
    drawn = [source() for _ in range(40)]
    share = np.mean([1 - d.sequences.num_history.sum() / len(TRAIN.item_index) for d in drawn])
    assert share == pytest.approx(training._HELD_OUT, abs=0.05)
    assert all(d.in_training and not d.retrieved.any() for d in drawn)
    held_out = training._held_out(EVAL, retrieve, config)
    assert len(held_out) == EVAL.num_users and not held_out.in_training and retrieve.asked == []


def test_eval_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_MAX_EVAL_POINTS", 3)
    held_out = training._held_out(EVAL, Retrieve(), TINY)
    middle = (len(EVAL.targets) - 1) // 2
    assert held_out.points.cut.tolist() == EVAL.targets[[0, middle, -1]].tolist()


def test_a_phase_without_text_then_one_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_affinity, "_MAX_PASSES", 2)
    ranker, logged, started = make_ranker(toy_catalogue(), TRAIN, TINY), [], []
    before = np.array(ranker._words_gate)
    trained = training.fit(
        ranker, toy_catalogue(), TRAIN, EVAL, Retrieve(), TINY, logged.append, start=lambda r: started.append(r)
    )
    assert [epoch.with_text for epoch in logged] == [False, True] and tuple(logged) == trained.epochs
    assert all(isinstance(epoch, Epoch) and np.isfinite(epoch.train_loss) for epoch in logged)
    assert started == [ranker] and before.tolist() == [0] * 4
    assert trained.text_losses and trained.text_losses[0] >= min(trained.text_losses)
    readings = ranker._reader.catalogue()
    speaks = toy_catalogue().token_ids.any(axis=1)
    expected = (readings - readings[speaks].mean(0)) / (readings[speaks].std(0) + 1e-3)
    texts = np.array(ranker.items._text_vectors)
    np.testing.assert_allclose(texts[speaks], expected[speaks], rtol=1e-2, atol=1e-3)  # By the BERT that is exported.


def test_without_a_list_no_affinity_is_learnt() -> None:
    config = dataclasses.replace(TINY, list_weight=0.0, epochs_with_text=0)
    ranker = make_ranker(toy_catalogue(), TRAIN, config)
    trained = training.fit(ranker, toy_catalogue(), TRAIN, EVAL, Retrieve(), config)
    assert trained.text_losses == () and len(trained.epochs) == 1
    assert not any(np.array(kernel).any() for kernel in ranker.text_affinity.kernels[:-1])
